"""Packs a recording's folder into one file: `python pack.py FOLDER OUT.tar.zst`."""

import io
import pathlib
import sys
import tarfile

import zstandard

folder, out = map(pathlib.Path, sys.argv[1:])
tar_bytes = io.BytesIO()
with tarfile.open(fileobj=tar_bytes, mode="w", format=tarfile.USTAR_FORMAT) as tar:
    for path in sorted(folder.iterdir()):
        info = tarfile.TarInfo(f"{folder.name}/{path.name}")
        info.size = path.stat().st_size
        tar.addfile(info, path.open("rb"))
packed = zstandard.ZstdCompressor(
    compression_params=zstandard.ZstdCompressionParameters.from_level(19, enable_ldm=True, window_log=24)
).compress(tar_bytes.getvalue())
out.write_bytes(packed)
