# docker build -t freight:0.1.0 .
# docker run --rm -p 8080:8080 -p 127.0.0.1:9080:9080 -v "$PWD:/data:ro" freight:0.1.0
# Options follow the name of the command: freight:0.1.0 serve --memory 256MiB
# Running downloads have 30 s to end (--shutdown-timeout), so give them that time: docker stop --timeout 40 NAME
FROM python:3.13-slim

COPY pyproject.toml README.md LICENSE /src/
COPY src /src/src
RUN pip install --no-cache-dir /src && rm -r /src

USER 65532:65532
EXPOSE 8080 9080
ENV FREIGHT_PATH=/data FREIGHT_HOST=0.0.0.0 FREIGHT_ADMIN=0.0.0.0:9080
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/healthz' % os.environ['FREIGHT_ADMIN'].rpartition(':')[2], timeout=4)"]
ENTRYPOINT ["freight"]
CMD ["serve"]
