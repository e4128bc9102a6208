/* The limit: sends COUNT prebuilt route messages over NEXTHOPS nexthop objects, 256 to a send, one acknowledgement each
 * send, and prints the seconds from the first nexthop to the last acknowledgement.
 *
 *   routes COUNT NEXTHOPS        in a namespace with v0 up, 172.31.0.0/16 on it */
#include <netinet/in.h>
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256 };

static uint8_t *buffer;
static size_t used;

static struct nlmsghdr *begin(uint16_t type) {
    struct nlmsghdr *message = (void *)(buffer + used);
    memset(message, 0, sizeof *message);
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL;
    used += NLMSG_HDRLEN;
    return message;
}

static void *body(size_t size) {
    void *place = buffer + used;
    memset(place, 0, size);
    used += NLMSG_ALIGN(size);
    return place;
}

static void u32(uint16_t type, uint32_t value) {
    struct rtattr attribute = {.rta_len = RTA_LENGTH(4), .rta_type = type};
    memcpy(buffer + used, &attribute, sizeof attribute);
    memcpy(buffer + used + RTA_LENGTH(0), &value, 4);
    used += RTA_SPACE(4);
}

static void end(struct nlmsghdr *message) { message->nlmsg_len = buffer + used - (uint8_t *)message; }

static void nexthop(uint32_t id, uint32_t gateway, int device) {
    struct nlmsghdr *message = begin(RTM_NEWNEXTHOP);
    struct nhmsg *header = body(sizeof *header);
    header->nh_family = AF_INET;
    header->nh_protocol = 118;
    header->nh_flags = RTNH_F_ONLINK;
    u32(NHA_ID, id);
    u32(NHA_OIF, device);
    u32(NHA_GATEWAY, htonl(gateway));
    end(message);
}

static void route(uint32_t destination, uint32_t id) {
    struct nlmsghdr *message = begin(RTM_NEWROUTE);
    struct rtmsg *header = body(sizeof *header);
    *header = (struct rtmsg){.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_protocol = 118, .rtm_type = RTN_UNICAST};
    u32(RTA_TABLE, 1000001);
    u32(RTA_DST, htonl(destination));
    u32(RTA_NH_ID, id);
    end(message);
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* Sends the messages in [from, to) in batches and waits for each batch's acknowledgement. */
static void transfer(int fd, size_t from, size_t to) {
    static uint8_t reply[1 << 16];
    while (from < to) {
        size_t batch = from;
        struct nlmsghdr *last = NULL;
        for (int count = 0; count < BATCH && batch < to; count++) {
            last = (void *)(buffer + batch);
            batch += last->nlmsg_len;
        }
        last->nlmsg_flags |= NLM_F_ACK;
        if (send(fd, buffer + from, batch - from, 0) < 0) fail("send");
        ssize_t length = recv(fd, reply, sizeof reply, 0);
        if (length < 0) fail("recv");
        struct nlmsghdr *answer = (void *)reply;
        struct nlmsgerr *error = NLMSG_DATA(answer);
        if (answer->nlmsg_type != NLMSG_ERROR || error->error) {
            errno = -error->error;
            fail("kernel");
        }
        from = batch;
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    long count = argc > 1 ? atol(argv[1]) : 100000, nexthops = argc > 2 ? atol(argv[2]) : 99;
    int device = if_nametoindex("v0"), one = 1, size = 4 << 20;
    if (!device) fail("v0");
    buffer = malloc((count + nexthops) * 64 + 4096);
    for (long index = 0; index < nexthops; index++) nexthop(1000001 + index, 0xAC1F0001 + index, device);
    size_t routes = used;
    for (long index = 0; index < count; index++) route(0x0A000100 + index, 1000001 + index % nexthops);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) fail("socket");
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    double start = now();
    transfer(fd, 0, routes);
    transfer(fd, routes, used);
    printf("%.6f\n", now() - start);
    return 0;
}
