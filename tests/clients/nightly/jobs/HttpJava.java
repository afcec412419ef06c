// java.net.http: the jobs of test_http_libraries.py. Arguments: the URL of the site, the directory for the results.

import java.io.InputStream;
import java.io.SequenceInputStream;
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.concurrent.CompletableFuture;

class HttpJava {
    static HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(30)).build();
    static String url;

    static HttpRequest request(String name, String... fields) {
        var builder = HttpRequest.newBuilder(URI.create(url + name)).timeout(Duration.ofSeconds(60));
        for (int at = 0; at < fields.length; at += 2) builder.header(fields[at], fields[at + 1]);
        return builder.build();
    }

    static HttpResponse<InputStream> get(String name, String... fields) throws Exception {
        return client.send(request(name, fields), BodyHandlers.ofInputStream());
    }

    public static void main(String[] arguments) throws Exception {
        url = arguments[0];
        Path out = Path.of(arguments[1]);
        var whole = client.send(request("large.bin"), BodyHandlers.ofFile(out.resolve("whole")));
        String tag = whole.headers().firstValue("ETag").get();
        var middle = get("large.bin", "Range", "bytes=1000-70000");
        Files.copy(middle.body(), out.resolve("middle"));
        var suffix = get("large.bin", "Range", "bytes=-1000");
        Files.copy(suffix.body(), out.resolve("suffix"));

        byte[] first;
        try (var cut = get("large.bin").body()) {
            first = cut.readNBytes(100_000);
        }
        var rest = get("large.bin", "Range", "bytes=100000-", "If-Range", tag);
        Files.copy(new SequenceInputStream(new ByteArrayInputStream(first), rest.body()), out.resolve("resumed"));

        var unchanged = get("large.bin", "If-None-Match", tag);
        Files.copy(get("odd%20%23name.bin").body(), out.resolve("odd"));
        var head = client.send(
            HttpRequest.newBuilder(URI.create(url + "large.bin")).method("HEAD", HttpRequest.BodyPublishers.noBody()).build(),
            BodyHandlers.discarding());

        var many = new ArrayList<CompletableFuture<HttpResponse<Path>>>();
        for (int number = 0; number < 20; number++)
            many.add(client.sendAsync(request("small.bin"), BodyHandlers.ofFile(out.resolve("many-" + number))));
        for (var each : many) each.get();
        System.out.println((middle.version() == HttpClient.Version.HTTP_2 ? "HTTP/2 " : "HTTP/1.1 ")
            + middle.statusCode() + " " + suffix.statusCode() + " " + rest.statusCode() + " " + unchanged.statusCode() + " "
            + head.headers().firstValue("Content-Length").get());
    }
}
