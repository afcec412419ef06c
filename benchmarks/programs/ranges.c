// Requests random ranges of one file on kept-alive connections, each one after another, and counts the responses.
// usage: ranges ADDRESS PORT PATH FILE_BYTES RANGE_BYTES CONNECTIONS WARM_SECONDS SECONDS http|https
// It prints the events of benchmarks/client.py. Any response but a complete 206 ends it. Part of a response, at the begin
// and at the end of the window, counts as that part of a request.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// These functions of OpenSSL 3 are declared here, so that its headers need not be installed.
void *TLS_client_method(void), *SSL_CTX_new(void *), *SSL_new(void *);
int SSL_CTX_set_ciphersuites(void *, const char *), SSL_set_fd(void *, int), SSL_connect(void *);
int SSL_read(void *, void *, int), SSL_write(void *, const void *, int), SSL_get_error(void *, int);
enum { WANT_READ = 2 };

enum { CONNECTIONS = 1024, EVENTS = 64, HEAD = -1, TIMEOUT_SECONDS = 20 };

struct connection {
  int socket;
  void *tls;
  long missing;  // bytes of the body still to come; HEAD: the head is to come
} connections[CONNECTIONS];

static const char *address, *path;
static long size, length;
static char buffer[1 << 20];
static long received;  // bytes of bodies

static void fail(const char *why, ...) {
  va_list values;
  va_start(values, why);
  vfprintf(stderr, why, values);
  fputc('\n', stderr);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void request(struct connection *one) {
  char head[512];
  long first = (long)(drand48() * (size - length + 1));
  int count = snprintf(head, sizeof head, "GET /%s HTTP/1.1\r\nHost: %s\r\nRange: bytes=%ld-%ld\r\n\r\n", path, address, first, first + length - 1);
  if ((one->tls ? SSL_write(one->tls, head, count) : write(one->socket, head, count)) != count) fail("a request could not be sent");
  one->missing = HEAD;
}

static void open_connection(struct connection *one, int port, void *context) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct timeval patience = {.tv_sec = TIMEOUT_SECONDS};
  int yes = 1;
  one->socket = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(one->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(one->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  inet_pton(AF_INET, address, &to.sin_addr);
  if (connect(one->socket, (void *)&to, sizeof to)) fail("no connection");
  if (context) {
    one->tls = SSL_new(context);
    SSL_set_fd(one->tls, one->socket);
    if (SSL_connect(one->tls) != 1) fail("no TLS");
  }
  ioctl(one->socket, FIONBIO, &yes);
}

// Returns how many bytes came, 0 if there are none now. The kernel discards a body without TLS.
static long receive(struct connection *one) {
  long count;
  if (one->tls) {
    count = SSL_read(one->tls, buffer, sizeof buffer);
    if (count <= 0 && SSL_get_error(one->tls, count) == WANT_READ) return 0;
  } else if (one->missing == HEAD) {
    count = recv(one->socket, buffer, 16384, 0);
  } else {
    count = recv(one->socket, buffer, sizeof buffer, MSG_TRUNC);
  }
  if (count <= 0) fail("the server closed a connection");
  return count;
}

static void read_response(struct connection *one) {
  long count;
  while ((count = receive(one)) > 0) {
    if (one->missing == HEAD) {
      char *end = memmem(buffer, count, "\r\n\r\n", 4);
      if (!end || memcmp(buffer, "HTTP/1.1 206", 12)) fail("wrong response to a range: %.12s", buffer);
      count -= end + 4 - buffer;
      one->missing = length;
    }
    one->missing -= count;
    received += count;
    if (one->missing < 0) fail("more bytes than the range has");
    if (!one->missing) request(one);
    if (!one->tls) return;  // epoll reports what is left
  }
}

static void run_until(int poll, double end) {
  struct epoll_event events[EVENTS];
  while (now() < end) {
    int count = epoll_wait(poll, events, EVENTS, 50);
    for (int i = 0; i < count; i++) read_response(events[i].data.ptr);
  }
}

int main(int argc, char **argv) {
  if (argc != 10) fail("usage: ranges ADDRESS PORT PATH FILE_BYTES RANGE_BYTES CONNECTIONS WARM_SECONDS SECONDS http|https");
  address = argv[1], path = argv[3], size = atol(argv[4]), length = atol(argv[5]);
  int poll = epoll_create1(0), count = atoi(argv[6]);
  void *context = strcmp(argv[9], "https") ? NULL : SSL_CTX_new(TLS_client_method());
  if (context) SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384");
  if (count > CONNECTIONS) fail("at most %d connections", CONNECTIONS);
  for (int i = 0; i < count; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
    open_connection(&connections[i], atoi(argv[2]), context);
    epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].socket, &event);
  }
  for (int i = 0; i < count; i++) request(&connections[i]);
  run_until(poll, now() + atof(argv[7]));
  double begin = now();
  received = 0;
  puts("{\"event\": \"begin\"}");
  fflush(stdout);
  run_until(poll, begin + atof(argv[8]));
  printf("{\"event\": \"end\", \"requests\": %f, \"seconds\": %f}\n", (double)received / length, now() - begin);
}
