/* What Swift's Glibc module lacks for sockets that take and send whole packets. libc's headers first: the kernel's stand
 * down only when libc's structures were seen before. */
#pragma once
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

/* recvmsg(2) that also says which address the datagram was sent to (the socket has IP_PKTINFO). */
ssize_t receive_with_destination(
    int descriptor, void *buffer, size_t length, struct sockaddr_in *source, struct in_addr *destination);

/* sendmsg(2) from one of several local addresses. */
ssize_t send_from(
    int descriptor, const void *buffer, size_t length, const struct sockaddr_in *to, struct in_addr source);

/* recvmsg(2) that also says with which TTL the datagram came (the socket has IP_RECVTTL); -1 where that is not known. */
ssize_t receive_with_ttl(int descriptor, void *buffer, size_t length, struct sockaddr_in *source, int *ttl);

/* The name of a device of the namespace that the socket was made in, IFNAMSIZ bytes; 0, or -1 and errno. */
int device_name(int descriptor, unsigned index, char *name);

/* The index of the device of that name; 0, or -1 and errno. */
int device_index(int descriptor, const char *name, unsigned *index);
