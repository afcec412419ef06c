"""Media types by file name.

The table is small and the same on every machine; ``mimetypes`` would read the host's /etc. Types are those of the IANA
registry, or else the name in common use. A compressed file is served as it is: ``data.csv.gz`` is application/gzip,
never a CSV with a Content-Encoding. No charset is stated, because the content is not examined.
"""

from __future__ import annotations

UNKNOWN = "application/octet-stream"

_SUFFIXES = {
    # Tables and records
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/json": "json",
    "application/geo+json": "geojson",
    "application/ld+json": "jsonld",
    "application/x-ndjson": "jsonl ndjson",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.file": "arrow feather",
    "application/vnd.apache.arrow.stream": "arrows",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/geopackage+sqlite3": "gpkg",
    "application/sql": "sql",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.ms-excel": "xls",
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
    "application/vnd.pmtiles": "pmtiles",
    # Models and arrays without a registered type: bytes, and listed here to show that this is intended
    UNKNOWN: "npy npz safetensors gguf onnx pt pth bin img dump",
    # Archives, compressed files, images of disks and packages
    "application/gzip": "gz tgz",
    "application/zstd": "zst tzst",
    "application/x-xz": "xz txz",
    "application/x-bzip2": "bz2 tbz2",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/zip": "zip whl",
    "application/x-tar": "tar",
    "application/vnd.efi.iso": "iso",
    "application/vnd.debian.binary-package": "deb",
    "application/x-rpm": "rpm",
    "application/vnd.android.package-archive": "apk",
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
    "application/x-bittorrent": "torrent",
    "application/metalink4+xml": "meta4",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "application/xhtml+xml": "xhtml",
    "application/manifest+json": "webmanifest",
    "application/atom+xml": "atom",
    "text/calendar": "ics",
    "text/vcard": "vcf",
    "application/rtf": "rtf",
    "application/postscript": "ps eps",
    "application/msword": "doc",
    "application/vnd.ms-powerpoint": "ppt",
    "application/x-ipynb+json": "ipynb",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.presentation": "odp",
    # Images, sound, film, scenes
    "image/png": "png",
    "image/jpeg": "jpg jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/jxl": "jxl",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/tiff": "tif tiff",
    "image/svg+xml": "svg",
    "image/bmp": "bmp",
    "image/vnd.microsoft.icon": "ico",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg oga opus",
    "audio/wav": "wav",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "video/mp4": "mp4 m4v",
    "video/webm": "webm",
    "video/ogg": "ogv",
    "video/matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp2t": "ts",
    "video/iso.segment": "m4s",
    "video/mpeg": "mpg mpeg",
    "video/vnd.avi": "avi",
    "model/gltf+json": "gltf",
    "model/gltf-binary": "glb",
    "model/stl": "stl",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/dash+xml": "mpd",
    "text/vtt": "vtt",
    "application/x-subrip": "srt",
}
_BY_SUFFIX = {suffix: media_type for media_type, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


def media_type(name: str) -> str:
    """Return the media type for the last suffix of a file's name, in any case; application/octet-stream if unknown."""
    _, dot, suffix = name.rpartition(".")
    return _BY_SUFFIX.get(suffix.lower(), UNKNOWN) if dot else UNKNOWN


# Compressing one of these again saves little, so nobody keeps compressed copies of them.
_COMPRESSED_SUFFIXES = (
    "gz tgz zst tzst br xz txz bz2 tbz2 lz lz4 lzma z 7z rar zip whl npz deb rpm apk jar epub docx xlsx pptx odt ods",
    "parquet pmtiles svgz woff woff2 png jpg jpeg gif webp avif jxl heic heif mp3 flac ogg oga opus m4a aac mp4 m4v",
    "webm ogv mkv mov ts m4s",
)
_COMPRESSED = frozenset(" ".join(_COMPRESSED_SUFFIXES).split())


def is_compressed(name: str) -> bool:
    """Return whether the last suffix of a file's name says that its content is compressed already."""
    return name.rpartition(".")[2].lower() in _COMPRESSED
