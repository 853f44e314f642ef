/* Goal: a topic's settings are what clients set, and only what can be.
 * Method: a table of names and values with the code that each gets; changes by each op, and what is in force after. */
#include "broker_rig.h"

static enum kafka_err
set(struct rig *rig, const char *name, const char *value, int op, struct broker_why *why)
{
    struct broker_pair pair = {.name = cairn_cstr(name), .value = cairn_cstr(value)};
    memcpy(&pair.op, &op, sizeof pair.op);
    return broker_topic_configure(rig->broker, CAIRN_STR("t"), &pair, 1, false, false, why);
}

static void
check_setting(struct rig *rig, const char *name, const char *expected, bool by_default)
{
    cairn_topic_ref *ref;
    bool is_default;
    char text[200];
    CHECK_OK(cairn_topic_get(rig->store, 0, CAIRN_STR("t"), &ref, NULL));
    cairn_str value = broker_setting_get(rig->broker, cairn_topic_of(ref), name, &is_default);
    snprintf(text, sizeof text, "%.*s", (int)value.size, value.data ? value.data : "");
    CHECK_STR(text, expected);
    CHECK_INT(is_default, by_default);
    cairn_topic_release(ref);
}

TEST(values_are_checked)
{
    static const struct {
        const char *name, *value;
        enum kafka_err err;
    } cases[] = {
        {"retention.ms", "-1", KAFKA_NONE},
        {"retention.ms", "-2", KAFKA_INVALID_CONFIG},
        {"retention.ms", "9223372036854775807", KAFKA_NONE},
        {"retention.ms", "9223372036854775808", KAFKA_INVALID_CONFIG},
        {"retention.ms", "", KAFKA_INVALID_CONFIG},
        {"retention.ms", "a week", KAFKA_INVALID_CONFIG},
        {"max.message.bytes", "2147483647", KAFKA_NONE},
        {"max.message.bytes", "2147483648", KAFKA_INVALID_CONFIG},
        {"cleanup.policy", "compact", KAFKA_NONE},
        {"cleanup.policy", "compact, delete", KAFKA_NONE},
        {"cleanup.policy", "", KAFKA_INVALID_CONFIG},
        {"cleanup.policy", "compact,burn", KAFKA_INVALID_CONFIG},
        {"message.timestamp.type", "LogAppendTime", KAFKA_NONE},
        {"message.timestamp.type", "logappendtime", KAFKA_INVALID_CONFIG},
        {"min.cleanable.dirty.ratio", "0.25", KAFKA_NONE},
        {"min.cleanable.dirty.ratio", "1.5", KAFKA_INVALID_CONFIG},
        {"min.cleanable.dirty.ratio", "nan", KAFKA_INVALID_CONFIG},
        {"preallocate", "true", KAFKA_NONE},
        {"preallocate", "yes", KAFKA_INVALID_CONFIG},
        {"compression.type", "lz4", KAFKA_NONE},
        {"compression.type", "lz4|gzip", KAFKA_INVALID_CONFIG},
        {"compression.type", "rar", KAFKA_INVALID_CONFIG},
        {"segment.bytes", "1000000", KAFKA_NONE},
        {"remote.storage.enable", "true", KAFKA_INVALID_CONFIG},
        {"cairn.dead.letter", "t.dlq", KAFKA_NONE},
        {"cairn.dead.letter", "t dlq", KAFKA_INVALID_CONFIG},
        {"cairn.value.subject", "t-value", KAFKA_NONE},
        {"cairn.value.subject", "say \"t\"", KAFKA_INVALID_CONFIG},
        {"cairn.value.subject", "\xff", KAFKA_INVALID_CONFIG},
        {"cairn.category", "t", KAFKA_NONE},
        {"cairn.category", "u", KAFKA_INVALID_CONFIG},
        {"retention.days", "5", KAFKA_INVALID_CONFIG},
        {"", "5", KAFKA_INVALID_CONFIG},
    };
    struct rig rig = {.sim = NULL};
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct broker_why why = {""};
        enum kafka_err err = set(&rig, cases[i].name, cases[i].value, PAIR_SET, &why);
        if (err != cases[i].err)
            fail_msg("%s = %s: %s (%s)", cases[i].name, cases[i].value, kafka_err_name(err), why.text);
        CHECK(err == KAFKA_NONE || why.text[0] != '\0');
    }
    struct broker_why why;
    CHECK_KAFKA(set(&rig, "retention.mss", "5", PAIR_SET, &why), KAFKA_INVALID_CONFIG);
    CHECK(strstr(why.text, "'retention.ms'") != NULL);
    rig_end(&rig);
}

TEST(settings_change_by_each_op)
{
    struct rig rig = {.sim = NULL};
    struct broker_why why;
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, "retention.ms", "1000");
    check_setting(&rig, "retention.ms", "1000", false);
    check_setting(&rig, "cleanup.policy", "delete", true);
    CHECK_KAFKA(set(&rig, "cleanup.policy", "compact", PAIR_APPEND, &why), KAFKA_NONE);
    check_setting(&rig, "cleanup.policy", "delete,compact", false);
    CHECK_KAFKA(set(&rig, "cleanup.policy", "compact", PAIR_APPEND, &why), KAFKA_NONE);
    check_setting(&rig, "cleanup.policy", "delete,compact", false);
    CHECK_KAFKA(set(&rig, "cleanup.policy", "delete", PAIR_SUBTRACT, &why), KAFKA_NONE);
    check_setting(&rig, "cleanup.policy", "compact", false);
    CHECK_KAFKA(set(&rig, "cleanup.policy", "compact", PAIR_SUBTRACT, &why), KAFKA_INVALID_CONFIG);
    CHECK_KAFKA(set(&rig, "retention.ms", "5", PAIR_APPEND, &why), KAFKA_INVALID_CONFIG);
    cairn_topic_ref *ref;
    CHECK_OK(cairn_topic_get(rig.store, 0, CAIRN_STR("t"), &ref, NULL));
    CHECK(cairn_topic_of(ref)->compact);
    cairn_topic_release(ref);
    CHECK_KAFKA(set(&rig, "cleanup.policy", NULL, PAIR_DELETE, &why), KAFKA_NONE);
    check_setting(&rig, "cleanup.policy", "delete", true);
    check_setting(&rig, "retention.ms", "1000", false); /* the others stay */

    const struct broker_pair all[] = {{.name = CAIRN_STR("segment.ms"), .value = CAIRN_STR("77")}};
    CHECK_KAFKA(broker_topic_configure(rig.broker, CAIRN_STR("t"), all, 1, true, true, &why), KAFKA_NONE);
    check_setting(&rig, "retention.ms", "1000", false); /* it was only asked whether it could be */
    CHECK_KAFKA(broker_topic_configure(rig.broker, CAIRN_STR("t"), all, 1, true, false, &why), KAFKA_NONE);
    check_setting(&rig, "retention.ms", "-1", true);
    check_setting(&rig, "segment.ms", "77", false);
    const struct broker_pair twice[] = {all[0], all[0]};
    CHECK_KAFKA(broker_topic_configure(rig.broker, CAIRN_STR("t"), twice, 2, false, false, &why), KAFKA_INVALID_REQUEST);
    CHECK_KAFKA(broker_topic_configure(rig.broker, CAIRN_STR("none"), all, 1, true, false, &why), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    rig_reopen(&rig);
    check_setting(&rig, "segment.ms", "77", false);
    rig_end(&rig);
}

TEST(a_category_is_chosen_when_the_topic_is_made)
{
    struct rig rig = {.sim = NULL};
    struct broker_why why;
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, "cairn.category", "order");
    check_setting(&rig, "cairn.category", "order", false);
    CHECK_KAFKA(set(&rig, "cairn.category", "t", PAIR_SET, &why), KAFKA_INVALID_CONFIG);
    CHECK_KAFKA(set(&rig, "cairn.category", "order", PAIR_SET, &why), KAFKA_NONE);
    const struct broker_topic_spec other = {.name = CAIRN_STR("order"), .partitions = 1};
    CHECK_KAFKA(broker_topic_create(rig.broker, &other, false, NULL, &why), KAFKA_TOPIC_ALREADY_EXISTS);
    rig_end(&rig);
}

/* Every default must be a value that could be set, or a describe could not be sent back. */
TEST(defaults_are_values)
{
    struct rig rig = {.sim = NULL};
    size_t count;
    const struct broker_setting *settings = broker_settings(&count);
    struct broker_why why = {""};
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        const char *value = strcmp(settings[i].name, "cairn.category") == 0 ? "t" : settings[i].value;
        enum kafka_err err = set(&rig, settings[i].name, value, PAIR_SET, &why);
        if (err != KAFKA_NONE)
            fail_msg("%s: %s", settings[i].name, why.text);
        CHECK(strlen(settings[i].doc) > 10);
    }
    rig_end(&rig);
}

/* Where a topic says nothing, what is told is what holds: the server's own largest batch. */
TEST(the_servers_default_is_told)
{
    struct rig rig = {.options = {.message_max_bytes = 300}};
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, NULL, NULL);
    check_setting(&rig, "max.message.bytes", "300", true);
    CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 100}).err, KAFKA_MESSAGE_TOO_LARGE);
    struct broker_why why;
    CHECK_KAFKA(set(&rig, "max.message.bytes", "2000", PAIR_SET, &why), KAFKA_NONE);
    check_setting(&rig, "max.message.bytes", "2000", false);
    CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 100}).err, KAFKA_NONE);
    rig_end(&rig);
}

TEST(every_error_has_a_name_and_a_sentence)
{
    int named = 0;
    for (int err = -1; err <= 120; err++)
        if (err == -1 || strcmp(kafka_err_name(err), "UNKNOWN_SERVER_ERROR") != 0) {
            named++;
            CHECK(strlen(kafka_err_message(err)) > 5);
        }
    CHECK(named >= 74);
    CHECK_STR(kafka_err_name(KAFKA_OFFSET_OUT_OF_RANGE), "OFFSET_OUT_OF_RANGE");
    CHECK_INT(kafka_err_of(CAIRN_OK), KAFKA_NONE);
    CHECK_INT(kafka_err_of(CAIRN_E_NOSPACE), KAFKA_STORAGE_ERROR);
    CHECK_INT(kafka_err_of(CAIRN_E_BUSY), KAFKA_REQUEST_TIMED_OUT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(values_are_checked),
        RUN(settings_change_by_each_op),
        RUN(a_category_is_chosen_when_the_topic_is_made),
        RUN(defaults_are_values),
        RUN(the_servers_default_is_told),
        RUN(every_error_has_a_name_and_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
