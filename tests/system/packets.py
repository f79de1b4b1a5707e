"""Packets that tests make by hand."""
import struct


def checksum(data):
    """The Internet checksum: RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(data, identifier, number):
    """An ICMP echo request (RFC 792), from its own header on."""
    header = struct.pack("!BBHHH", 8, 0, 0, identifier, number)
    return header[:2] + struct.pack("!H", checksum(header + data)) + header[4:] + data
