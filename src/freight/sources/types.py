"""Media types by file name.

A table of our own, for the files people hand out: it is the same on every machine (``mimetypes`` reads what the host
has in /etc) and small. Types are those of the IANA registry where it has one, else the name in common use. A compressed
file is its own type and is served as it is: ``data.csv.gz`` is application/gzip, never a CSV with a Content-Encoding.
No charset is claimed: nothing here has looked inside.
"""

from __future__ import annotations

UNKNOWN = "application/octet-stream"

_SUFFIXES = {
    # Tables and records
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/json": "json",
    "application/geo+json": "geojson",
    "application/x-ndjson": "jsonl ndjson",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.file": "arrow feather",
    "application/vnd.apache.arrow.stream": "arrows",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/geopackage+sqlite3": "gpkg",
    "application/sql": "sql",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/xml": "xml xsd",
    "application/yaml": "yaml yml",
    "application/toml": "toml",
    "text/turtle": "ttl",
    "application/n-triples": "nt",
    "application/n-quads": "nq",
    # Arrays
    "application/x-hdf5": "h5 hdf5",
    "application/x-netcdf": "nc",
    "application/fits": "fits",
    # Models and arrays without a registered type: bytes, by name rather than by omission
    UNKNOWN: "npy npz safetensors gguf onnx pt pth bin img dump",
    # Archives, compressed files, images of disks and packages
    "application/gzip": "gz tgz",
    "application/zstd": "zst tzst",
    "application/x-xz": "xz txz",
    "application/x-bzip2": "bz2 tbz2",
    "application/x-7z-compressed": "7z",
    "application/zip": "zip whl",
    "application/x-tar": "tar",
    "application/vnd.efi.iso": "iso",
    "application/vnd.debian.binary-package": "deb",
    "application/java-archive": "jar",
    # Documents
    "text/plain": "txt text log sha256 sha512 md5",
    "text/markdown": "md markdown",
    "text/html": "html htm",
    "text/css": "css",
    "text/javascript": "js mjs",
    "application/wasm": "wasm",
    "application/pdf": "pdf",
    "application/epub+zip": "epub",
    "application/x-ipynb+json": "ipynb",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    # Images, sound, film
    "image/png": "png",
    "image/jpeg": "jpg jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/jxl": "jxl",
    "image/tiff": "tif tiff",
    "image/svg+xml": "svg",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg oga opus",
    "audio/wav": "wav",
    "audio/mp4": "m4a",
    "video/mp4": "mp4 m4v",
    "video/webm": "webm",
    "video/ogg": "ogv",
    "video/matroska": "mkv",
    "video/quicktime": "mov",
}
_BY_SUFFIX = {suffix: media_type for media_type, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


def media_type(name: str) -> str:
    """The media type of a file by the last suffix of its name, in any case; application/octet-stream when unknown."""
    _, dot, suffix = name.rpartition(".")
    return _BY_SUFFIX.get(suffix.lower(), UNKNOWN) if dot else UNKNOWN
