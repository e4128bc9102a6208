/* Adds COUNT addresses to a set of nf_tables in one transaction, then one more: set COUNT
 *
 * Prints seconds: `add`, and `add-one`. */
#include "netlink.h"
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

/* Attributes have 16 bits for their length: so many elements to a message. */
enum { ELEMENTS = 2000 };

static uint32_t sequence;

static struct nlmsghdr *nf(uint16_t type, uint16_t flags) {
    struct nlmsghdr *message = begin((NFNL_SUBSYS_NFTABLES << 8) | type, flags);
    message->nlmsg_seq = ++sequence;
    struct nfgenmsg *header = body(sizeof *header);
    header->nfgen_family = NFPROTO_INET;
    return message;
}

static void batch(uint16_t type) {
    struct nlmsghdr *message = begin(type, 0);
    message->nlmsg_seq = ++sequence;
    struct nfgenmsg *header = body(sizeof *header);
    header->res_id = htons(NFNL_SUBSYS_NFTABLES);
    end(message);
}

static void number(uint16_t type, uint32_t value) { u32(type, htonl(value)); }

static void elements(uint32_t first, long count, uint16_t flags) {
    struct nlmsghdr *message = nf(NFT_MSG_NEWSETELEM, NLM_F_CREATE | flags);
    text(NFTA_SET_ELEM_LIST_TABLE, "limit");
    text(NFTA_SET_ELEM_LIST_SET, "members");
    size_t list = open_nest(NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED);
    for (long index = 0; index < count; index++) {
        size_t element = open_nest(NFTA_LIST_ELEM | NLA_F_NESTED);
        size_t key = open_nest(NFTA_SET_ELEM_KEY | NLA_F_NESTED);
        u32(NFTA_DATA_VALUE, htonl(first + index));
        close_nest(key);
        close_nest(element);
    }
    close_nest(list);
    end(message);
}

/* Sends what was written and waits until it has taken effect. */
static void commit(int fd) {
    if (send(fd, buffer, used, 0) < 0) fail("send");
    acknowledged(fd);
}

static void declare(int fd) {
    used = 0;
    batch(NFNL_MSG_BATCH_BEGIN);
    struct nlmsghdr *message = nf(NFT_MSG_NEWTABLE, NLM_F_CREATE);
    text(NFTA_TABLE_NAME, "limit");
    end(message);
    message = nf(NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_ACK);
    text(NFTA_SET_TABLE, "limit");
    text(NFTA_SET_NAME, "members");
    number(NFTA_SET_KEY_TYPE, 7);
    number(NFTA_SET_KEY_LEN, 4);
    number(NFTA_SET_ID, 1);
    end(message);
    batch(NFNL_MSG_BATCH_END);
    commit(fd);
}

int main(int argc, char **argv) {
    if (argc != 2) return 64;
    long count = atol(argv[1]);
    allocate(count * 24 + (1 << 16));
    int fd = connected(NETLINK_NETFILTER);
    declare(fd);
    used = 0;
    batch(NFNL_MSG_BATCH_BEGIN);
    for (long first = 0; first < count; first += ELEMENTS)
        elements(0x0A400100 + first, count - first < ELEMENTS ? count - first : ELEMENTS,
                 first + ELEMENTS >= count ? NLM_F_ACK : 0);
    batch(NFNL_MSG_BATCH_END);
    start();
    commit(fd);
    note("add");
    used = 0;
    batch(NFNL_MSG_BATCH_BEGIN);
    elements(0x0A400100 + count, 1, NLM_F_ACK);
    batch(NFNL_MSG_BATCH_END);
    start();
    commit(fd);
    note("add-one");
    return 0;
}
