/* frames DEVICE COUNT FRAME: sends a frame, in hexadecimal, again and again, and prints the nanoseconds a frame.
 *
 * pktgen makes UDP alone. The frames leave past the device's queue (PACKET_QDISC_BYPASS), so that where they go through
 * veth devices a send returns when the frame is at its end. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static void fail(const char *what) {
    fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
    exit(1);
}

int main(int argc, char **argv) {
    static unsigned char frame[2048];
    if (argc != 4 || strlen(argv[3]) / 2 > sizeof frame) {
        fprintf(stderr, "usage: frames DEVICE COUNT FRAME\n");
        return 2;
    }
    long count = atol(argv[2]);
    size_t length = strlen(argv[3]) / 2;
    for (size_t i = 0; i < length; i++) {
        if (sscanf(argv[3] + 2 * i, "%2hhx", &frame[i]) != 1) fail("the frame is not hexadecimal");
    }
    int on = 1, descriptor = socket(AF_PACKET, SOCK_RAW, 0);
    if (descriptor < 0) fail("socket");
    if (setsockopt(descriptor, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0) fail("PACKET_QDISC_BYPASS");
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_halen = ETH_ALEN};
    to.sll_ifindex = (int)if_nametoindex(argv[1]);
    if (to.sll_ifindex == 0) fail(argv[1]);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long i = 0; i < count; i++) {
        if (sendto(descriptor, frame, length, 0, (struct sockaddr *)&to, sizeof to) < 0) fail("send");
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double spent = (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec);
    printf("%.1f\n", spent / (double)count);
    return 0;
}
