/* cli/command_topics.h: options and examples of the commands for topics, groups of Kafka's clients and relays; for commands.c. */
#ifndef CLI_COMMAND_TOPICS_H
#define CLI_COMMAND_TOPICS_H

#include "command.h"

extern const struct option names_options[];
extern const struct option topics_show_options[];
extern const struct option topics_create_options[];
extern const struct option topics_set_options[];
extern const struct option topics_read_options[];
extern const struct option topics_replay_options[];
extern const struct example topics_examples[];
extern const struct option groups_reset_options[];
extern const struct example groups_examples[];
extern const struct option relays_put_options[];
extern const struct example relays_examples[];

#endif
