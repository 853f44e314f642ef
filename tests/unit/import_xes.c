/* cli/xes.c: XES read as it streams by. */
#include <test.h>

#include <base/json.h>

#include "../../cli/xes.h"

/* Every event as one line: trace/index name type time data types trace_data tags. */
static bool
write_down(void *context, const struct xes_event *event)
{
    struct buf *to = context;
    struct json checked;
    CHECK_OK(json_check(event->data, &checked, NULL));
    if (event->types.size)
        CHECK_OK(json_check(event->types, &checked, NULL));
    if (event->trace_data.size)
        CHECK_OK(json_check(event->trace_data, &checked, NULL));
    buf_printf(to, "%llu/%llu ", (unsigned long long)event->trace, (unsigned long long)event->index);
    const cairn_str parts[] = {event->trace_name, event->type, event->time, event->data, event->types, event->trace_data};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        buf_put_str(to, parts[i]);
        buf_put_char(to, '|');
    }
    for (size_t i = 0; i < event->tag_count; i++)
        buf_printf(to, "#%.*s=%.*s", (int)event->tags[i].key.size, event->tags[i].key.data,
                   (int)event->tags[i].value.size, event->tags[i].value.data);
    buf_put_char(to, '\n');
    return true;
}

/* Parse in pieces of `step` bytes. The detail goes to `to` on failure. */
static cairn_err
parse(const char *text, size_t step, struct buf *to, struct xes_counts *ret)
{
    static const cairn_str keys[] = {{"org:resource", 12}};
    struct xes_options options = {.visit = write_down, .context = to, .tag_keys = keys, .tag_key_count = 1,
                                  .keep_log = true};
    struct xes *xes = xes_new(&options);
    cairn_error error = {0};
    cairn_err err = CAIRN_OK;
    size_t size = strlen(text);
    assert_non_null(xes);
    for (size_t at = 0; at < size && err == CAIRN_OK; at += step)
        err = xes_feed(xes, (cairn_str){text + at, size - at < step ? size - at : step}, false, &error);
    if (err == CAIRN_OK)
        err = xes_feed(xes, CAIRN_STR(""), true, &error);
    if (err == CAIRN_OK) {
        buf_put_str(to, xes_log(xes));
        buf_put_char(to, '\n');
    } else {
        buf_put(to, error.detail, strlen(error.detail));
    }
    if (ret)
        *ret = xes_count(xes);
    buf_put_char(to, '\0');
    xes_free(xes);
    return err;
}

static const char small[] =
    "<?xml version='1.0' encoding='UTF-8'?>\n<log xes.version='1.0'>"
    "<extension name='Concept' prefix='concept' uri='u'/><classifier name='c' keys='k'/>"
    "<global scope='event'><string key='g' value='UNKNOWN'/></global>"
    "<string key='creator' value='me'><int key='v' value='2'/></string>"
    "<trace><string key='concept:name' value='A &amp; B'/><int key='amount' value='+007'/>"
    "<event><string key='concept:name' value='start'/><date key='time:timestamp' value='2011-10-01T00:38:44.546+02:00'/>"
    "<string key='org:resource' value='Pete'/><float key='f' value='3'/><float key='g' value='-0.50'/>"
    "<float key='n' value='NaN'/><boolean key='b' value='TRUE'/><id key='i' value='x-1'/><date key='due' value='2012-01-01'/></event>"
    "<event><string key='concept:name' value='nested'><int key='k' value='1'><string key='deep' value='\"'/></int></string>"
    "<list key='l'><values><string key='e' value='1'/><string key='e' value='2'/></values></list>"
    "<container key='c'><int key='p' value='5'/><date key='q' value='t'/></container></event></trace>"
    "<trace><string key='concept:name' value='empty'/></trace>"
    "<trace><event/><string key='late' value='1'/></trace></log>";

static const char small_read[] =
    "0/0 A & B|start|2011-10-01T00:38:44.546+02:00|{\"time:timestamp\":\"2011-10-01T00:38:44.546+02:00\","
    "\"org:resource\":\"Pete\",\"f\":3.0,\"g\":-0.50,\"n\":\"NaN\",\"b\":true,\"i\":\"x-1\",\"due\":\"2012-01-01\"}|"
    "{\"n\":\"float\",\"i\":\"id\",\"due\":\"date\"}|{\"concept:name\":\"A & B\",\"amount\":7}|#org:resource=Pete\n"
    "0/1 A & B|nested||{\"concept:name\":{\"value\":\"nested\",\"attributes\":{\"k\":{\"value\":1,\"attributes\":"
    "{\"deep\":\"\\\"\"}}}},\"l\":[{\"e\":\"1\"},{\"e\":\"2\"}],\"c\":{\"p\":5,\"q\":\"t\"}}|{\"c/q\":\"date\"}||\n"
    "2/0 |||{}|||\n"
    "{\"attributes\":{\"creator\":{\"value\":\"me\",\"attributes\":{\"v\":2}}},\"extensions\":[{\"name\":\"Concept\","
    "\"prefix\":\"concept\",\"uri\":\"u\"}],\"globals\":[{\"scope\":\"event\",\"attributes\":{\"g\":\"UNKNOWN\"}}],"
    "\"classifiers\":[{\"name\":\"c\",\"keys\":\"k\"}]}\n";

/* Goal: every attribute with its type, nesting and order; counts. Method: a small log against its reading, fed
 * in pieces of every size up to its own. */
TEST(reads_every_kind_of_attribute)
{
    for (size_t step = 1; step < sizeof small; step += step < 20 ? 1 : 97) {
        struct buf got = {0};
        struct xes_counts counts;
        CHECK_INT(parse(small, step, &got, &counts), CAIRN_OK);
        CHECK_STR(got.data, small_read);
        CHECK_INT(counts.traces, 3);
        CHECK_INT(counts.events, 3);
        CHECK_INT(counts.traces_empty, 1);
        CHECK_INT(counts.attributes_dropped, 1);
        buf_free(&got);
    }
}

/* Goal: what is no XES, or is made to hurt, is refused with its line. Method: a table of texts. */
TEST(refuses_what_is_no_log)
{
    static const struct {
        const char *text;
        cairn_err err;
        const char *says;
    } cases[] = {
        {"", CAIRN_E_INVALID, "no element found"},
        {"not xml", CAIRN_E_INVALID, "line 1: "},
        {"<html/>", CAIRN_E_INVALID, "not <log>"},
        {"<log><trace><event></trace></log>", CAIRN_E_INVALID, "mismatched tag"},
        {"<log>\n<trace>", CAIRN_E_INVALID, "line 2: "},
        {"<log><event/></log>", CAIRN_E_INVALID, "outside a trace"},
        {"<log><trace><event><string value='x'/></event></trace></log>", CAIRN_E_INVALID, "no key"},
        {"<log><trace><event><string key='x'/></event></trace></log>", CAIRN_E_INVALID, "no value"},
        {"<log><trace><event/><string key='concept:name' value='late'/></trace></log>", CAIRN_E_INVALID, "after its first"},
        {"<!DOCTYPE log [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><log>&b;</log>", CAIRN_E_INVALID, "entity"},
        {"<!DOCTYPE log SYSTEM 'file:///etc/passwd'><log/>", CAIRN_OK, "attributes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf got = {0};
        cairn_err err = parse(cases[i].text, 1000, &got, NULL);
        if (err != cases[i].err || !strstr(got.data, cases[i].says))
            fail_msg("case %zu: %s: %s", i, cairn_err_name(err), got.data);
        buf_free(&got);
    }
}

/* Goal: bounded memory and stack. Method: 100 nested attributes; an event of 2 MiB. */
TEST(refuses_what_has_no_bounds)
{
    struct buf text = {0}, got = {0};
    buf_put_str(&text, CAIRN_STR("<log><trace><event>"));
    for (int i = 0; i < 100; i++)
        buf_put_str(&text, CAIRN_STR("<string key='k' value='v'>"));
    buf_put_char(&text, '\0');
    CHECK_INT(parse(text.data, 100000, &got, NULL), CAIRN_E_LIMIT);
    buf_clear(&text);
    buf_clear(&got);
    buf_put_str(&text, CAIRN_STR("<log><trace><event>"));
    for (int i = 0; i < 50000; i++)
        buf_put_str(&text, CAIRN_STR("<string key='k' value='0123456789012345678901234567890'/>"));
    buf_put_char(&text, '\0');
    CHECK_INT(parse(text.data, 100000, &got, NULL), CAIRN_E_LIMIT);
    buf_free(&text);
    buf_free(&got);
}

static bool
stop_at_once(void *context, const struct xes_event *event __attribute__((unused)))
{
    ++*(int *)context;
    return false;
}

/* Goal: a visit can end the reading. Method: one that answers false at the first of three events. */
TEST(stops_when_told)
{
    int calls = 0;
    struct xes_options options = {.visit = stop_at_once, .context = &calls};
    struct xes *xes = xes_new(&options);
    cairn_error error = {0};
    CHECK_INT(xes_feed(xes, CAIRN_STR("<log><trace><event/><event/><event/></trace></log>"), true, &error), CAIRN_E_CLOSED);
    CHECK_INT(calls, 1);
    CHECK_INT(xes_feed(xes, CAIRN_STR("<x/>"), true, &error), CAIRN_E_CLOSED);
    xes_free(xes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(reads_every_kind_of_attribute), RUN(refuses_what_is_no_log),
                                       RUN(refuses_what_has_no_bounds), RUN(stops_when_told)};
    return cmocka_run_group_tests_name("import_xes", tests, NULL, NULL);
}
