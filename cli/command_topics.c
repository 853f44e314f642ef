/* What the commands for topics, groups of Kafka's clients and relays take: a part of the table in commands.c. */
#include "command_topics.h"

#define END {0}

const struct option names_options[] = {
    {"prefix", 'p', "TEXT", "only those whose names begin with it", NULL, 0},
    {"limit", 'n', "N", "at most so many (all)", NULL, 0},
    END,
};
const struct option topics_show_options[] = {
    {"all", 'a', NULL, "also the settings that have their default", NULL, 0},
    END,
};
const struct option topics_create_options[] = {
    {"partitions", 'p', "N", "how many (the server's kafka.partitions)", NULL, 0},
    {"category", 'c', "NAME", "of the streams that are in it (the name, with '~' for '-')", NULL, 0},
    {"set", 's', "NAME=VALUE", "a setting, such as cleanup.policy=compact", NULL, OPTION_REPEATS},
    END,
};
const struct option topics_set_options[] = {
    {"unset", 0, "NAME", "bring the setting's default back", NULL, OPTION_REPEATS},
    END,
};
const struct option topics_read_options[] = {
    {"partition", 'p', "N", "only this one", NULL, 0},
    {"from", 'f', "OFFSET|earliest|latest", "begin there; latest: the newest --limit (10) of each partition", "earliest latest", 0},
    {"at", 0, "TIME", "begin with the first record at or after this time (RFC 3339)", NULL, 0},
    {"limit", 'n', "N", "at most so many of each partition (100; 0: all)", NULL, 0},
    END,
};
const struct option topics_replay_options[] = {
    {"partition", 'p', "N", "only this one", NULL, 0},
    {"from", 'f', "OFFSET", "only from this one on", NULL, 0},
    {"to", 0, "OFFSET", "only those before this one", NULL, 0},
    {"consumer", 'c', "NAME", "only what it gave up: a subscription, or APP/PROJECTION", NULL, 0},
    {"dry-run", 'n', NULL, "say what would be sent back, and change nothing", NULL, 0},
    END,
};
const struct example topics_examples[] = {
    {"the streams order-… as a topic of six partitions", "cairn topics create order --partitions 6"},
    {"keep the newest record of each key", "cairn topics set order cleanup.policy=compact"},
    {"the newest records of every partition", "cairn topics read order --from latest"},
    {"dead letters back to who gave them up", "cairn topics replay order.dlq"},
    {NULL, NULL},
};
const struct option groups_reset_options[] = {
    {"topic", 't', "TOPIC", "whose offsets", NULL, 0},
    {"to", 0, "earliest|latest|TIME|OFFSET|-N|+N|position:N", "where they are to be", "earliest latest position:", 0},
    {"partition", 'p', "N", "only this one", NULL, OPTION_REPEATS},
    {"dry-run", 0, NULL, "say what would become of them, and change nothing", NULL, 0},
    END,
};
const struct example groups_examples[] = {
    {"who reads what, and how far they are", "cairn groups show billing"},
    {"read it all again", "cairn groups reset billing --topic order --to earliest"},
    {"what is at position 1234 of the log, and after it", "cairn groups reset billing --topic order --to position:1234"},
    {"of each partition, the ten that it read last again", "cairn groups reset billing --topic order --to=-10 --dry-run"},
    {NULL, NULL},
};
const struct option relays_put_options[] = {
    {"out", 0, NULL, "from a topic here to a Kafka", NULL, 0},
    {"in", 0, NULL, "from a Kafka to a topic here", NULL, 0},
    {"from", 'f', "TOPIC", "the topic that is read", NULL, 0},
    {"to", 't', "TOPIC", "the topic that is written (the same name)", NULL, 0},
    {"bootstrap", 'b', "HOST:PORT,…", "servers of the Kafka", NULL, 0},
    {"client", 'c', "NAME=VALUE", "a setting of librdkafka's, such as security.protocol=SASL_SSL", NULL, OPTION_REPEATS},
    {"client-env", 0, "NAME=VARIABLE", "a setting whose value is in the server's environment: for secrets", NULL, OPTION_REPEATS},
    {"transactions", 0, NULL, "out: exactly once", NULL, 0},
    {"paused", 0, NULL, "do not begin yet", NULL, 0},
    END,
};
const struct example relays_examples[] = {
    {"every order to a Kafka, exactly once",
     "cairn relays put orders --out --from order --to orders --bootstrap kafka:9092 --transactions"},
    {"clicks from a Kafka", "cairn relays put clicks --in --from clicks --bootstrap kafka:9092"},
    {"how it is", "cairn relays show orders"},
    {NULL, NULL},
};
