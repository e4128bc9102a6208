/* Prebuilt netlink messages and how to send them: what the programs of this folder share. They do the kernel's part of
 * some work and as little else as possible, to show where the limit is. */
#include <netinet/in.h>
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Messages to a send: more bring nothing, one costs twice the time. */
enum { BATCH = 256 };

static uint8_t *buffer;
static size_t used;
static uint8_t reply[1 << 20];

__attribute__((noreturn)) static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

static inline void allocate(size_t size) {
    buffer = malloc(size);
    if (!buffer) fail("memory");
    /* The memory is there before the clock runs. */
    memset(buffer, 0, size);
}

static inline struct nlmsghdr *begin(uint16_t type, uint16_t flags) {
    struct nlmsghdr *message = (void *)(buffer + used);
    memset(message, 0, sizeof *message);
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | flags;
    used += NLMSG_HDRLEN;
    return message;
}

static inline void *body(size_t size) {
    void *place = buffer + used;
    memset(place, 0, NLMSG_ALIGN(size));
    used += NLMSG_ALIGN(size);
    return place;
}

static inline void put(uint16_t type, const void *data, size_t size) {
    struct rtattr attribute = {.rta_len = RTA_LENGTH(size), .rta_type = type};
    memcpy(buffer + used, &attribute, sizeof attribute);
    memset(buffer + used + RTA_LENGTH(0), 0, RTA_SPACE(size) - RTA_LENGTH(0));
    memcpy(buffer + used + RTA_LENGTH(0), data, size);
    used += RTA_SPACE(size);
}

static inline void u32(uint16_t type, uint32_t value) { put(type, &value, 4); }

static inline void text(uint16_t type, const char *value) { put(type, value, strlen(value) + 1); }

static inline size_t open_nest(uint16_t type) {
    size_t start = used;
    struct rtattr attribute = {.rta_type = type};
    memcpy(buffer + used, &attribute, sizeof attribute);
    used += RTA_LENGTH(0);
    return start;
}

static inline void close_nest(size_t start) {
    uint16_t length = used - start;
    memcpy(buffer + start, &length, sizeof length);
}

static inline void end(struct nlmsghdr *message) { message->nlmsg_len = buffer + used - (uint8_t *)message; }

static inline int connected(int protocol) {
    int one = 1, size = 64 << 20, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0) fail("socket");
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    return fd;
}

/* Waits for one acknowledgement. */
static inline void acknowledged(int fd) {
    ssize_t length = recv(fd, reply, sizeof reply, 0);
    if (length < 0) fail("recv");
    struct nlmsghdr *answer = (void *)reply;
    struct nlmsgerr *error = NLMSG_DATA(answer);
    if (answer->nlmsg_type != NLMSG_ERROR || error->error) {
        errno = -error->error;
        fail("kernel");
    }
}

/* Sends the messages in [from, to) in batches and waits for each batch's acknowledgement. */
static inline void transfer(int fd, size_t from, size_t to) {
    while (from < to) {
        size_t batch = from;
        struct nlmsghdr *last = NULL;
        for (int count = 0; count < BATCH && batch < to; count++) {
            last = (void *)(buffer + batch);
            batch += NLMSG_ALIGN(last->nlmsg_len);
        }
        last->nlmsg_flags |= NLM_F_ACK;
        if (send(fd, buffer + from, batch - from, 0) < 0) fail("send");
        acknowledged(fd);
        from = batch;
    }
}

/* Receives the answer to the dump request that was sent; the number of its messages. */
static inline long received(int fd) {
    for (long count = 0;;) {
        ssize_t length = recv(fd, reply, sizeof reply, 0);
        if (length < 0) fail("recv");
        for (struct nlmsghdr *message = (void *)reply; NLMSG_OK(message, length); message = NLMSG_NEXT(message, length)) {
            if (message->nlmsg_type == NLMSG_DONE) return count;
            if (message->nlmsg_type == NLMSG_ERROR) {
                errno = -((struct nlmsgerr *)NLMSG_DATA(message))->error;
                fail("dump");
            }
            count++;
        }
    }
}

static inline double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static inline double processor(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static double started, started_processor;

/* Starts the clock. */
static inline void start(void) {
    started_processor = processor();
    started = now();
}

/* Prints the seconds since then, and those of the processor. */
static inline void note(const char *name) {
    double elapsed = now() - started;
    printf("%s %.9f\n%s.cpu %.6f\n", name, elapsed, name, processor() - started_processor);
}
