"""TCP by single packets, and as a stream between two sockets."""

import ipaddress
import socket
import struct
import subprocess
import sys
import time

from commands import run

SYN, ACK = 2, 16
# Of the two ends.
SEQUENCE = {True: 1000, False: 5000}


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(hardware, source, destination, ports, flags, sequence, acknowledged):
    """Without data, padded to what Ethernet has at least; hardware: of the sender and of the next hop."""
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    header = struct.pack("!HHIIBBHHH", *ports, sequence, acknowledged, 5 << 4, flags, 65535, 0, 0)
    sum_of_header = checksum(ends + struct.pack("!HH", 6, len(header)) + header)
    header = header[:16] + struct.pack("!H", sum_of_header) + header[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(header), 1, 0x4000, 64, 6, 0) + ends
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    sender, receiver = (bytes.fromhex(address.replace(":", "")) for address in hardware)
    return (receiver + sender + b"\x08\x00" + ip + header).ljust(60, b"\0").hex()


class Connection:
    """One that two packet sockets feign; nobody listens behind them."""

    def __init__(self, program, places, addresses, hardware, next_hops, port):
        """`program`: limit/frames; the others: of the one who begins it and of the other."""
        self.program, self.places, self.addresses, self.hardware = program, places, addresses, hardware
        self.next_hops, self.ports = next_hops, (40000, port)

    def send(self, flags, from_originator=True, count=1):
        """Returns nanoseconds a packet."""
        end = 0 if from_originator else 1
        sequence, acknowledged = SEQUENCE[from_originator], SEQUENCE[not from_originator] + 1
        if not flags & SYN:
            sequence += 1
        text = frame(
            (self.hardware[end], self.next_hops[end]), self.addresses[end], self.addresses[1 - end],
            self.ports if from_originator else self.ports[::-1], flags, sequence, acknowledged if flags & ACK else 0)
        # As pktgen: nobody is to come in between, and those who process the packets are to.
        script = 'for thread in $(pgrep ksoftirqd); do chrt -f -p 2 $thread; done; exec chrt -f 1 "$@"'
        return float(run("ip", "netns", "exec", self.places[end], "sh", "-ec", script, "sh", self.program, "eth0", str(count), text))


def stream(places, addresses, port, size):
    """Sends a stream of so many bytes from a socket in one namespace to a socket in another one; returns nanoseconds."""
    receiver = subprocess.Popen(
        ["ip", "netns", "exec", places[1], sys.executable, __file__, "receive", str(port)], stdout=subprocess.PIPE, text=True)
    receiver.stdout.readline()
    spent = run("ip", "netns", "exec", places[0], sys.executable, __file__, "send", addresses[1], str(port), str(size))
    if int(receiver.communicate()[0]) != size:
        sys.exit("not all of the stream arrived")
    return float(spent)


def receive(port):
    with socket.create_server(("", port)) as server:
        print("listening", flush=True)
        connection, _ = server.accept()
        count, buffer = 0, bytearray(1 << 20)
        while got := connection.recv_into(buffer):
            count += got
        print(count)


def send(address, port, size):
    data = bytes(1 << 20)
    with socket.create_connection((address, port)) as connection:
        began = time.monotonic_ns()
        for _ in range(0, size, len(data)):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        print(time.monotonic_ns() - began)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(int(sys.argv[2]))
    else:
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
