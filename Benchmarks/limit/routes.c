/* Programs COUNT routes that use NEXTHOPS new nexthop objects, and lists them.
 *
 *   routes [--tables TABLES | --table TABLE] [--nexthop ID] COUNT NEXTHOPS
 *
 * In a namespace with v0 up, 172.31.0.0/16 on it. --tables spreads the routes over TABLES tables from 1000001 on;
 * --table puts them into one. --nexthop uses an object that is there, with NEXTHOPS 0. Prints seconds: `add` from the
 * first nexthop to the last acknowledgement, `dump` to list all routes, `dump-table` to list those of the first table,
 * `first.change` to give one route another nexthop, where there are several, and `change` the median of 32 more. */
#include "netlink.h"
#include <getopt.h>
#include <linux/nexthop.h>

enum { CHANGES = 33 };

static uint32_t first_table = 1000001, first_nexthop = 1000001;

static void nexthop(uint32_t id, uint32_t gateway, int device) {
    struct nlmsghdr *message = begin(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_EXCL);
    struct nhmsg *header = body(sizeof *header);
    header->nh_family = AF_INET;
    header->nh_protocol = 118;
    header->nh_flags = RTNH_F_ONLINK;
    u32(NHA_ID, id);
    u32(NHA_OIF, device);
    u32(NHA_GATEWAY, htonl(gateway));
    end(message);
}

static void route(uint16_t flags, uint32_t table, uint32_t destination, uint32_t id) {
    struct nlmsghdr *message = begin(RTM_NEWROUTE, flags);
    struct rtmsg *header = body(sizeof *header);
    *header = (struct rtmsg){.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_protocol = 118, .rtm_type = RTN_UNICAST};
    u32(RTA_TABLE, table);
    u32(RTA_DST, htonl(destination));
    u32(RTA_NH_ID, id);
    end(message);
}

/* Asks for the routes of one table, or of all. */
static long dump(int fd, uint32_t table) {
    used = 0;
    struct nlmsghdr *message = begin(RTM_GETROUTE, NLM_F_DUMP);
    struct rtmsg *header = body(sizeof *header);
    *header = (struct rtmsg){.rtm_family = AF_INET, .rtm_protocol = 118};
    if (table) u32(RTA_TABLE, table);
    end(message);
    if (send(fd, buffer, used, 0) < 0) fail("send");
    return received(fd);
}

static int ascending(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"tables", required_argument, 0, 't'}, {"table", required_argument, 0, 'o'}, {"nexthop", required_argument, 0, 'n'}, {0}};
    long tables = 1;
    for (int option; (option = getopt_long(argc, argv, "", options, 0)) >= 0;) {
        if (option == 't') tables = atol(optarg);
        else if (option == 'o') first_table = atol(optarg);
        else if (option == 'n') first_nexthop = atol(optarg);
        else return 64;
    }
    if (argc - optind != 2) return 64;
    long count = atol(argv[optind]), nexthops = atol(argv[optind + 1]);
    int device = if_nametoindex("v0");
    if (nexthops && !device) fail("v0");
    allocate((count + nexthops) * 64 + 4096);
    for (long index = 0; index < nexthops; index++) nexthop(first_nexthop + index, 0xAC1F0001 + index, device);
    size_t routes = used;
    /* In the order of the kernel's keys, as the product does. */
    for (long table = 0, index = 0; table < tables; table++) {
        long share = count / tables + (table < count % tables);
        for (long place = 0; place < share; place++, index++)
            route(NLM_F_CREATE | NLM_F_EXCL, first_table + table, 0x0A000100 + place, first_nexthop + (nexthops ? index % nexthops : 0));
    }
    int fd = connected(NETLINK_ROUTE);
    start();
    transfer(fd, 0, routes);
    transfer(fd, routes, used);
    note("add");
    if (!nexthops) return 0;
    start();
    long listed = dump(fd, 0);
    note("dump");
    if (listed != count) {
        fprintf(stderr, "%ld of %ld routes listed\n", listed, count);
        return 1;
    }
    start();
    dump(fd, first_table);
    note("dump-table");
    if (nexthops < 2) return 0;
    double times[CHANGES];
    long places = count / tables + (count % tables > 0);
    for (long number = 0; number < CHANGES; number++) {
        long moved = number * places / CHANGES;
        used = 0;
        route(NLM_F_CREATE | NLM_F_REPLACE, first_table, 0x0A000100 + moved, first_nexthop + (moved + 1) % nexthops);
        double before = now();
        transfer(fd, 0, used);
        times[number] = now() - before;
    }
    qsort(times + 1, CHANGES - 1, sizeof *times, ascending);
    printf("first.change %.9f\nchange %.9f\n", times[0], times[1 + (CHANGES - 1) / 2]);
    return 0;
}
