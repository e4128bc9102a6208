// TCP connections that each bear one byte both ways and end with a reset.
//
//   connections serve PORT                          answers with what it is sent
//   connections run SOURCE TARGET PORT COUNT        so many, 64 at a time; prints how many succeeded
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AT_ONCE = 64, EVENTS = 256, PATIENCE = 30000, IP_FREE_PORT = 24 };

static const int one = 1;

static struct sockaddr_in address(const char *text, const char *port)
{
    struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    inet_aton(text, &result.sin_addr);
    return result;
}

static void watch(int poll, int operation, int file, unsigned events)
{
    struct epoll_event event = {.events = events, .data.fd = file};
    epoll_ctl(poll, operation, file, &event);
}

static int serve(int poll, const char *port)
{
    struct sockaddr_in own = address("0.0.0.0", port);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&own, sizeof own) || listen(listener, 4096)) {
        perror("listen");
        return 1;
    }
    watch(poll, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int file = events[i].data.fd;
            if (file == listener) {
                int accepted;
                while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
                    watch(poll, EPOLL_CTL_ADD, accepted, EPOLLIN);
                continue;
            }
            char bytes[64];
            ssize_t size = read(file, bytes, sizeof bytes);
            if (size <= 0 || write(file, bytes, size) != size)
                close(file);
        }
    }
}

static int begin(int poll, struct sockaddr_in *source, struct sockaddr_in *target)
{
    struct linger reset = {.l_onoff = 1};
    int file = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(file, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    // A port is chosen by both addresses, so that one address does for more than there are ports.
    setsockopt(file, SOL_IP, IP_FREE_PORT, &one, sizeof one);
    if (bind(file, (struct sockaddr *)source, sizeof *source)
        || (connect(file, (struct sockaddr *)target, sizeof *target) && errno != EINPROGRESS)) {
        close(file);
        return 0;
    }
    watch(poll, EPOLL_CTL_ADD, file, EPOLLOUT);
    return 1;
}

static int run(int poll, char **words)
{
    struct sockaddr_in source = address(words[0], "0"), target = address(words[1], words[2]);
    int total = atoi(words[3]), begun = 0, running = 0, done = 0;
    while (begun < total || running > 0) {
        for (; running < AT_ONCE && begun < total; begun++)
            running += begin(poll, &source, &target);
        struct epoll_event events[EVENTS];
        int count = epoll_wait(poll, events, EVENTS, PATIENCE);
        if (count == 0)
            break;
        for (int i = 0; i < count; i++) {
            int file = events[i].data.fd;
            char byte = 'x';
            if (events[i].events & EPOLLOUT && write(file, &byte, 1) == 1) {
                watch(poll, EPOLL_CTL_MOD, file, EPOLLIN);
                continue;
            }
            done += events[i].events & EPOLLIN && read(file, &byte, 1) == 1;
            close(file);
            running--;
        }
    }
    printf("%d\n", done);
    return 0;
}

int main(int count, char **words)
{
    int poll = epoll_create1(0);
    if (count == 3 && !strcmp(words[1], "serve"))
        return serve(poll, words[2]);
    if (count == 6 && !strcmp(words[1], "run"))
        return run(poll, words + 2);
    fprintf(stderr, "see the beginning of connections.c\n");
    return 64;
}
