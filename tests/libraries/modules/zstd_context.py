import zstandard

compressor, decompressor = zstandard.ZstdCompressor(threads=2), zstandard.ZstdDecompressor()
compressor.compress(b"import" * 1_000_000)


def handler(body):
    text = str(body).encode() * 100_000
    assert decompressor.decompress(compressor.compress(text)) == text
