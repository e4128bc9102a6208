/* Programs COUNT nexthop objects and, with "groups", as many groups of four of them: nexthops COUNT single|groups
 *
 * In a namespace with v0 up. Prints seconds: `add`, `dump`. */
#include "netlink.h"
#include <linux/nexthop.h>

static const uint32_t first = 1000001;

static struct nlmsghdr *open_nexthop(uint32_t id, uint8_t family, uint32_t flags) {
    struct nlmsghdr *message = begin(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_EXCL);
    struct nhmsg *header = body(sizeof *header);
    header->nh_family = family;
    header->nh_protocol = 118;
    header->nh_flags = flags;
    u32(NHA_ID, id);
    return message;
}

static void single(uint32_t id, uint32_t gateway, int device) {
    struct nlmsghdr *message = open_nexthop(id, AF_INET, RTNH_F_ONLINK);
    u32(NHA_OIF, device);
    u32(NHA_GATEWAY, htonl(gateway));
    end(message);
}

static void group(uint32_t id, uint32_t index, uint32_t count) {
    struct nlmsghdr *message = open_nexthop(id, AF_UNSPEC, 0);
    struct nexthop_grp members[4] = {0};
    for (uint32_t member = 0; member < 4; member++) members[member].id = first + (index + member) % count;
    put(NHA_GROUP, members, sizeof members);
    uint16_t type = NEXTHOP_GRP_TYPE_MPATH;
    put(NHA_GROUP_TYPE, &type, sizeof type);
    end(message);
}

int main(int argc, char **argv) {
    if (argc != 3) return 64;
    long count = atol(argv[1]);
    int device = if_nametoindex("v0");
    if (!device) fail("v0");
    allocate(count * 160 + 4096);
    for (long index = 0; index < count; index++) single(first + index, 0xAC1F0001 + index, device);
    size_t singles = used;
    if (argv[2][0] == 'g')
        for (long index = 0; index < count; index++) group(first + count + index, index, count);
    int fd = connected(NETLINK_ROUTE);
    start();
    transfer(fd, 0, singles);
    transfer(fd, singles, used);
    note("add");
    used = 0;
    struct nlmsghdr *message = begin(RTM_GETNEXTHOP, NLM_F_DUMP);
    body(sizeof(struct nhmsg));
    end(message);
    start();
    if (send(fd, buffer, used, 0) < 0) fail("send");
    received(fd);
    note("dump");
    return 0;
}
