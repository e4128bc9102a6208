/* Parses a file into libyaml's events and does nothing with them: yaml FILE
 *
 * Prints seconds: `parse`. */
#include "netlink.h"
#include <yaml.h>

int main(int argc, char **argv) {
    if (argc != 2) return 64;
    FILE *file = fopen(argv[1], "rb");
    if (!file) fail(argv[1]);
    fseek(file, 0, SEEK_END);
    size_t size = ftell(file);
    rewind(file);
    allocate(size);
    if (fread(buffer, 1, size, file) != size) fail("read");
    yaml_parser_t parser;
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, buffer, size);
    start();
    for (int done = 0; !done;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) fail("parse");
        done = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    note("parse");
    return 0;
}
