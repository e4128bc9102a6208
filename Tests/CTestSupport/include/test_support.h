#pragma once

#include <spawn.h>

/// posix_spawn_file_actions_addclosefrom_np(3), which Swift does not see: glibc shows it only to _GNU_SOURCE.
int test_close_from(posix_spawn_file_actions_t *actions, int first);
