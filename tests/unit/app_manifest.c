/* Goal: every mistake in an app's folder is found, at its place, with what was probably meant; a good app is read whole.
 * Method: one good app; a table of single edits to it, each with the fault that it must give and, by default, no other. */
#include "test.h"

#include <app/manifest.h>
#include <base/text.h>

/* ---- the good app */

static const char good_yaml[] =
    "app: shop\n"
    "title: Shop\n"
    "deciders:\n"
    "  order:\n"
    "    lua: order.lua\n"
    "    snapshot: {every: 10}\n"
    "commands:\n"
    "  PlaceOrder:\n"
    "    schema: schemas/place_order.json\n"
    "    stream: order-{order_id}\n"
    "    permission: orders.write\n"
    "    deadline_ms: 2000\n"
    "  CancelOrder:\n"
    "    stream: order-{order_id}\n"
    "    schema:\n"
    "      type: object\n"
    "      required: [order_id]\n"
    "      properties:\n"
    "        order_id: {type: string}\n"
    "        weight: {type: number}\n"
    "        urgent: {type: boolean}\n"
    "events:\n"
    "  OrderPlaced:\n"
    "    schema: schemas/order_placed.json\n"
    "    tags: [\"customer:{customer}\"]\n"
    "    upcast:\n"
    "      - {to: 2, rename: {qty: quantity}, default: {currency: EUR}}\n"
    "      - {to: 3, lua: upcasts/order_placed_3.lua}\n"
    "  OrderCancelled:\n"
    "projections:\n"
    "  orders: {on_error: skip}\n"
    "topics:\n"
    "  orders: order\n"
    "  my-payments: {partitions: 6, config: {cleanup.policy: compact, retention.ms: 1000}}\n"
    "  shipment:\n";

static const char order_lua[] =
    "return {\n"
    "  initial = {},\n"
    "  evolve = {\n"
    "    OrderPlaced = function(state, event) return state end,\n"
    "    OrderCancelled = function(state, event) return state end,\n"
    "  },\n"
    "  decide = {\n"
    "    PlaceOrder = function(state, command) return {type = 'OrderPlaced', data = command.data} end,\n"
    "    CancelOrder = function(state, command) return {type = 'OrderCancelled', data = {}} end,\n"
    "  },\n"
    "}\n";

static const cairn_app_file good_files[] = {
    {CAIRN_STR("app.yaml"), {good_yaml, sizeof good_yaml - 1}},
    {CAIRN_STR("order.lua"), {order_lua, sizeof order_lua - 1}},
    {CAIRN_STR("upcasts/order_placed_3.lua"), CAIRN_STR("return function(data, version, type)\n  return data\nend\n")},
    {CAIRN_STR("schemas/place_order.json"),
     CAIRN_STR("{\n"
               "  \"type\": \"object\",\n"
               "  \"required\": [\"order_id\", \"customer\"],\n"
               "  \"properties\": {\n"
               "    \"order_id\": {\"$ref\": \"common.json#/$defs/id\"},\n"
               "    \"customer\": {\"$ref\": \"common.json#/$defs/id\"},\n"
               "    \"note\": {\"type\": \"string\"}\n"
               "  }\n"
               "}\n")},
    {CAIRN_STR("schemas/order_placed.json"),
     CAIRN_STR("{\"type\": \"object\", \"required\": [\"customer\"],\n"
               " \"properties\": {\"customer\": {\"type\": \"string\"}, \"quantity\": {\"type\": \"integer\"}}}\n")},
    {CAIRN_STR("schemas/common.json"), CAIRN_STR("{\"$defs\": {\n  \"id\": {\"type\": \"string\", \"minLength\": 1}\n}}\n")},
    {CAIRN_STR("projections/orders.sql"),
     CAIRN_STR("-- from order\n"
               "-- table\n"
               "CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT);\n"
               "-- on OrderPlaced\n"
               "INSERT INTO orders (id, customer) VALUES (:stream_id, :data.customer);\n")},
    {CAIRN_STR("queries/orders.sql"), CAIRN_STR("-- key id\nSELECT id, customer FROM orders\n")},
    {CAIRN_STR("README.md"), CAIRN_STR("# Shop\n")},
};
#define GOOD_COUNT (sizeof good_files / sizeof *good_files)

/* ---- what was told */

struct told {
    struct {
        char file[128], message[512], hint[400];
        uint32_t line;
        bool warning;
    } faults[300];
    size_t count, wrong;
};

static void
keep(char *to, size_t size, cairn_str text)
{
    snprintf(to, size, "%.*s", (int)text.size, text.size ? text.data : "");
}

static void
tell(void *context, const cairn_app_fault *fault)
{
    struct told *told = context;
    assert_true(told->count < 300);
    keep(told->faults[told->count].file, 128, fault->file);
    keep(told->faults[told->count].message, 512, fault->message);
    keep(told->faults[told->count].hint, 400, fault->hint);
    told->faults[told->count].line = fault->line;
    told->faults[told->count].warning = fault->warning;
    told->wrong += !fault->warning;
    told->count++;
}

static void
print_told(const struct told *told)
{
    for (size_t i = 0; i < told->count; i++)
        print_message("  %s:%u: %s%s | %s\n", told->faults[i].file, told->faults[i].line, told->faults[i].warning ? "warning: " : "",
                      told->faults[i].message, told->faults[i].hint);
}

/* ---- single edits */

struct edit {
    const char *in, *from, *to; /* replaced in that file; `from` NULL: the whole text is `to`; both NULL: the file is gone */
    const char *file;           /* of the fault */
    const char *at;             /* in its line, after the edit; NULL: line 0 */
    const char *message, *hint; /* a part of each; hint may be NULL */
    enum { ALONE, WARNING, OTHERS } how; /* OTHERS: more that is wrong is expected */
};

static const struct edit edits[] = {
    /* the text */
    {"app.yaml", "title: Shop", "title: {Shop", "app.yaml", NULL, "not YAML", NULL, OTHERS},
    {"app.yaml", "title: Shop", "title: &a Shop", "app.yaml", "&a", "anchors", NULL, ALONE},
    {"app.yaml", "title: Shop", "title: *a", "app.yaml", "*a", "anchors", NULL, ALONE},
    {"app.yaml", "title: Shop", "title: !!str Shop", "app.yaml", "!!str", "tags (!)", NULL, ALONE},
    {"app.yaml", NULL, NULL, "app.yaml", NULL, "there is no app.yaml", "cairn new", ALONE},
    {"app.yaml", NULL, "- a\n- b\n", "app.yaml", "- a", "must be a mapping", NULL, ALONE},
    {"app.yaml", NULL, "app: a\n---\napp: b\n", "app.yaml", "---", "more than one document", NULL, ALONE},
    {"app.yaml", "title: Shop", "titel: Shop", "app.yaml", "titel", "no member titel", "title", ALONE},
    {"app.yaml", "title: Shop", "title: Shop\ntitle: Store", "app.yaml", "title: Store", "twice, first in line 2", NULL, ALONE},
    {"app.yaml", "title: Shop", "title: [Shop]", "app.yaml", "title", "must be text, and is a list", NULL, ALONE},
    /* names */
    {"app.yaml", "app: shop\n", "", "app.yaml", "title", "does not say the app's name", NULL, ALONE},
    {"app.yaml", "app: shop", "app: Shop", "app.yaml", "app: Shop", "no name for an app", "small letters", ALONE},
    {"app.yaml", "  PlaceOrder:", "  placeOrder:", "app.yaml", "placeOrder", "no name for a command", "capital", OTHERS},
    {"app.yaml", "  OrderCancelled:", "  Order-Cancelled:", "app.yaml", "Order-Cancelled", "no name for an event", NULL, ALONE},
    {"app.yaml", "  OrderCancelled:", "  OrderCancelled:\n  CancelOrder:", "app.yaml", "  CancelOrder:\n    stream", "a command and of an event", NULL, WARNING},
    /* deciders */
    {"app.yaml", "lua: order.lua", "lua: orders.lua", "app.yaml", "lua: orders.lua", "orders.lua, which is not in the app", "order.lua", ALONE},
    {"app.yaml", "    lua: order.lua\n", "    lau: order.lua\n", "app.yaml", "lau", "no member lau", "lua", OTHERS},
    {"app.yaml", "    lua: order.lua\n", "", "app.yaml", "  order:", "none of lua, native and webhook", NULL, ALONE},
    {"app.yaml", "    lua: order.lua\n", "    lua: order.lua\n    native: order\n", "app.yaml", "native", "more than one of", NULL, ALONE},
    {"app.yaml", "lua: order.lua", "webhook: ftp://example.com", "app.yaml", "webhook", "no http or https URL", NULL, ALONE},
    {"app.yaml", "snapshot: {every: 10}", "snapshot: {every: 0}", "app.yaml", "every", "every cannot be 0", "From 1", ALONE},
    {"app.yaml", "snapshot: {every: 10}", "snapshot: nothing", "app.yaml", "snapshot", "none or a mapping", NULL, ALONE},
    {"app.yaml", "snapshot: {every: 10}", "memory: 1TiB", "app.yaml", "memory", "memory cannot be 1TiB", NULL, ALONE},
    {"app.yaml", "snapshot: {every: 10}", "instructions: many", "app.yaml", "instructions", "must be a whole number, and is text", NULL, OTHERS},
    {"app.yaml", "snapshot: {every: 10}", "timeout_ms: 100", "app.yaml", "timeout_ms", "for deciders in webhooks", NULL, ALONE},
    {"app.yaml", "snapshot: {every: 10}", "query:\n      - {types: [OrderPlaced], tags: [\"customer:{custmer}\"]}", "app.yaml", "custmer",
     "takes custmer, which the schema does not have", "customer", OTHERS},
    {"app.yaml", "snapshot: {every: 10}", "query:\n      - {types: [OrderPlcaed]}", "app.yaml", "OrderPlcaed", "this app does not have", "OrderPlaced", WARNING},
    {"app.yaml", "snapshot: {every: 10}", "query:\n      - {}", "app.yaml", "- {}", "needs types or tags", NULL, ALONE},
    {"app.yaml", "  order:\n", "  other: {lua: order.lua}\n  order:\n", "app.yaml", "  PlaceOrder", "which of the 2 deciders", NULL, OTHERS},
    {"app.yaml", "permission: orders.write", "decider: ordr", "app.yaml", "ordr", "there is no decider ordr", "order", ALONE},
    {"order.lua", "  decide = {", "  decide = }", "order.lua", "decide = }", "order.lua", NULL, ALONE},
    {"order.lua", "CancelOrder = f", "CancelOrders = f", "order.lua", NULL, "decide has no function for the command CancelOrder", NULL, ALONE},
    {"order.lua", "    OrderCancelled = f", "    OrderCanceled = f", "app.yaml", "  OrderCancelled", "no decider evolves by OrderCancelled", NULL, WARNING},
    /* commands */
    {"app.yaml", "permission: orders.write", "permision: orders.write", "app.yaml", "permision", "command PlaceOrder takes no member", "permission", ALONE},
    {"app.yaml", "permission: orders.write", "permission: Orders!", "app.yaml", "Orders!", "no name for a permission", NULL, ALONE},
    {"app.yaml", "deadline_ms: 2000", "deadline_ms: 2s", "app.yaml", "2s", "must be a whole number", NULL, OTHERS},
    {"app.yaml", "schemas/place_order.json", "schemas/place_ordr.json", "app.yaml", "place_ordr", "which is not in the app", "schemas/place_order.json", ALONE},
    {"app.yaml", "    schema: schemas/place_order.json\n", "", "app.yaml", "  PlaceOrder", "has no schema", NULL, ALONE},
    {"app.yaml", "    stream: order-{order_id}\n    permission", "    permission", "app.yaml", "  PlaceOrder", "which stream", NULL, ALONE},
    {"app.yaml", "stream: order-{order_id}\n    perm", "stream: order-{orderid}\n    perm", "app.yaml", "{orderid}", "takes orderid, which the schema does not have", "order_id", ALONE},
    {"app.yaml", "stream: order-{order_id}\n    perm", "stream: order-{note}\n    perm", "app.yaml", "{note}", "does not require", "required", ALONE},
    {"app.yaml", "stream: order-{order_id}\n    perm", "stream: order-{/customer/id}\n    perm", "app.yaml", "{/customer/id}", "does not have", NULL, ALONE},
    {"app.yaml", "stream: order-{order_id}\n    perm", "stream: order-{order_id\n    perm", "app.yaml", "stream: order-{order_id\n", "braces that do not match", NULL, ALONE},
    {"app.yaml", "stream: order-{order_id}\n    perm", "stream: $order-{order_id}\n    perm", "app.yaml", "$order", "Cairn's own", NULL, ALONE},
    {"app.yaml", "stream: order-{order_id}\n    schema", "stream: order-{weight}\n    schema", "app.yaml", "{weight}", "neither text nor a whole number", NULL, OTHERS},
    {"app.yaml", "stream: order-{order_id}\n    perm", "stream: \"{order_id}\"\n    perm", "app.yaml", "\"{order_id}\"", "has no category", NULL, WARNING},
    /* schemas */
    {"app.yaml", "order_id: {type: string}", "order_id: {type: strin}", "app.yaml", "strin}", "the schema", NULL, ALONE},
    {"schemas/place_order.json", "\"note\": {", "\"note\" {", "schemas/place_order.json", "\"note\"", "not JSON", NULL, ALONE},
    {"schemas/place_order.json", "\"note\": {\"type\": \"string\"}", "\"note\": {\"type\": \"text\"}", "schemas/place_order.json", "\"note\"", "type", NULL, ALONE},
    {"schemas/place_order.json", "common.json#/$defs/id\"},\n    \"note", "comon.json#/$defs/id\"},\n    \"note", "schemas/place_order.json", "comon", "comon.json", "relative", ALONE},
    {"schemas/place_order.json", "common.json#/$defs/id\"},\n    \"note", "common.json#/$defs/ident\"},\n    \"note", "schemas/place_order.json", "ident", "ident", NULL, ALONE},
    {"schemas/common.json", "\"minLength\": 1", "\"minLength\": -1", "schemas/common.json", "minLength", "minLength", NULL, OTHERS},
    {"schemas/extra.json", NULL, "{}", "schemas/extra.json", NULL, "no command, event or schema refers", NULL, WARNING},
    /* events */
    {"app.yaml", "tags: [\"customer:{customer}\"]", "tags: [\"customer:{client}\"]", "app.yaml", "{client}", "takes client, which the schema does not have", NULL, ALONE},
    {"app.yaml", "tags: [\"customer:{customer}\"]", "tags: [\"customer:{quantity}\"]", "app.yaml", "{quantity}", "does not require", "required", ALONE},
    {"app.yaml", "tags: [\"customer:{customer}\"]", "compatibility: BACKWARDS", "app.yaml", "BACKWARDS", "no compatibility level", "BACKWARD", ALONE},
    {"app.yaml", "{to: 2, rename", "{to: 1, rename", "app.yaml", "{to: 1", "to cannot be 1", "From 2", ALONE},
    {"app.yaml", "{to: 3, lua", "{to: 2, lua", "app.yaml", "lua: upcasts", "two steps to version 2", NULL, ALONE},
    {"app.yaml", "{to: 2, rename: {qty: quantity}, default: {currency: EUR}}", "{to: 2}", "app.yaml", "{to: 2}", "does nothing", NULL, ALONE},
    {"app.yaml", "{to: 2, rename", "{to: 2, renam", "app.yaml", "renam:", "no member renam", "rename", ALONE},
    {"app.yaml", "upcasts/order_placed_3.lua", "upcasts/order_placed_2.lua", "app.yaml", "order_placed_2", "not in the app", "order_placed_3", ALONE},
    {"upcasts/order_placed_3.lua", "return data", "return data +", "upcasts/order_placed_3.lua", "end", "order_placed_3.lua", NULL, ALONE},
    /* projections and queries */
    {"app.yaml", "  orders: {on_error: skip}", "  order: {on_error: skip}", "app.yaml", "  order: {on_error", "no projection order", "orders", ALONE},
    {"app.yaml", "on_error: skip", "on_error: ignore", "app.yaml", "ignore", "on_error cannot be ignore", "stop, skip, park and dead_letter", ALONE},
    {"app.yaml", "on_error: skip", "on_error: skip, retries: 3", "app.yaml", "retries", "retries is for dead letters only", "dead_letter", ALONE},
    {"app.yaml", "on_error: skip", "on_error: dead_letter, retries: 101", "app.yaml", "retries", "retries", "100", ALONE},
    {"app.yaml", "on_error: skip", "on_error: dead_letter, backoff: 2m", "app.yaml", "backoff", "backoff cannot be 2m", "at most a minute", ALONE},
    {"app.yaml", "on_error: skip", "onerror: skip", "app.yaml", "onerror", "no member onerror", "on_error", ALONE},
    {"projections/orders.sql", "-- on OrderPlaced", "-- on OrderPlacd", "projections/orders.sql", "OrderPlacd", "does not have", "OrderPlaced", WARNING},
    {"projections/orders.sql", "(:stream_id", "(:stream_idd", "projections/orders.sql", ":stream_idd", "stream_idd", NULL, ALONE},
    {"projections/orders.sql", "customer TEXT)", "client TEXT)", "projections/orders.sql", "INSERT", "customer", NULL, ALONE},
    {"projections/Orders2.sql", NULL, "-- table\nCREATE TABLE t (a);\n-- on OrderPlaced\nINSERT INTO t VALUES (1);\n", "projections/Orders2.sql", NULL, "no name for a projection", NULL, ALONE},
    {"projections/notes.txt", NULL, "hello", "projections/notes.txt", NULL, "not read as a projection", NULL, WARNING},
    {"queries/orders.sql", "FROM orders", "FROM order_list", "queries/orders.sql", "order_list", "order_list", NULL, ALONE},
    {"queries/one.sql", NULL, "-- key n\nSELECT 1 AS n\n", "queries/one.sql", NULL, "reads no projection's table", NULL, WARNING},
    {"queries/notes.txt", NULL, "hello", "queries/notes.txt", NULL, "not read as a query", NULL, WARNING},
    /* topics */
    {"app.yaml", "  orders: order\n", "  or ders: order\n", "app.yaml", "or ders", "no name for a topic", "letters", ALONE},
    {"app.yaml", "  orders: order\n", "  orders: my-order\n", "app.yaml", "my-order", "no category", "order", ALONE},
    {"app.yaml", "  orders: order\n", "  orders: {category: $app}\n", "app.yaml", "$app", "no category", NULL, ALONE},
    {"app.yaml", "  orders: order\n", "  orders: shipment\n", "app.yaml", "  shipment", "same category", NULL, ALONE},
    {"app.yaml", "  orders: order\n", "  orders: [order]\n", "app.yaml", "[order]", "must be a mapping, and is a list", NULL, ALONE},
    {"app.yaml", "partitions: 6", "partitions: 0", "app.yaml", "partitions: 0", "partitions cannot be 0", "From 1 to 10000", ALONE},
    {"app.yaml", "partitions: 6", "partition: 6", "app.yaml", "partition: 6", "no member partition", "partitions", ALONE},
    {"app.yaml", "cleanup.policy: compact", "cleanup.polciy: compact", "app.yaml", "polciy", "cleanup.polciy", "cleanup.policy", ALONE},
    {"app.yaml", "cleanup.policy: compact", "cleanup.policy: compress", "app.yaml", "compress", "compress", NULL, ALONE},
    {"app.yaml", "retention.ms: 1000", "retention.ms: soon", "app.yaml", "soon", "soon", NULL, ALONE},
    {"app.yaml", "retention.ms: 1000", "retention.ms: [1]", "app.yaml", "[1]", "must be text or a number, and is a list", NULL, ALONE},
    {"app.yaml", "retention.ms: 1000", "cleanup.policy: delete", "app.yaml", "cleanup.policy: delete", "twice", NULL, ALONE},
    {"app.yaml", "config: {cleanup.policy: compact, retention.ms: 1000}", "config: 3", "app.yaml", "config: 3", "config must be a mapping", NULL, ALONE},
    /* files */
    {"../out.lua", NULL, "return {}", "../out.lua", NULL, "cannot have this path", NULL, ALONE},
    {"a//b.lua", NULL, "return {}", "a//b.lua", NULL, "cannot have this path", NULL, ALONE},
    {"notes.txt", NULL, "\xff\xfe", "notes.txt", NULL, "not UTF-8", NULL, ALONE},
};

/* The line of the first place where a text holds another; 0 when nothing is asked. */
static uint32_t
line_of(const char *text, const char *at)
{
    if (!at)
        return 0;
    const char *place = strstr(text, at);
    assert_non_null(place);
    uint32_t line = 1;
    for (const char *c = text; c < place; c++)
        line += *c == '\n';
    return line + (*place == '\n');
}

struct edited {
    cairn_app_file files[GOOD_COUNT + 1];
    char text[8192];
    size_t count;
};

static void
apply_edit(const struct edit *edit, struct edited *to)
{
    bool done = false;
    to->count = 0;
    for (size_t i = 0; i < GOOD_COUNT; i++) {
        cairn_app_file file = good_files[i];
        if (cairn_str_equal(file.path, cairn_cstr(edit->in))) {
            done = true;
            if (!edit->to)
                continue;
            const char *place = edit->from ? strstr(file.text.data, edit->from) : file.text.data;
            if (!place)
                fail_msg("%s does not hold: %s", edit->in, edit->from ? edit->from : "");
            int size = edit->from ? snprintf(to->text, sizeof to->text, "%.*s%s%s", (int)(place - file.text.data), file.text.data, edit->to,
                                             place + strlen(edit->from))
                                  : snprintf(to->text, sizeof to->text, "%s", edit->to);
            file.text = (cairn_str){to->text, (size_t)size};
        }
        to->files[to->count++] = file;
    }
    if (!done) {
        int size = snprintf(to->text, sizeof to->text, "%s", edit->to);
        to->files[to->count++] = (cairn_app_file){cairn_cstr(edit->in), {to->text, (size_t)size}};
    }
}

static const char *
text_of(const struct edited *edited, const char *path)
{
    for (size_t i = 0; i < edited->count; i++)
        if (cairn_str_equal(edited->files[i].path, cairn_cstr(path)))
            return edited->files[i].text.data;
    return "";
}

static bool
edit_is_told(const struct edit *edit, const struct told *told, uint32_t line)
{
    for (size_t i = 0; i < told->count; i++)
        if (strcmp(told->faults[i].file, edit->file) == 0 && (line == 0 || told->faults[i].line == line)
            && strstr(told->faults[i].message, edit->message) && (!edit->hint || strstr(told->faults[i].hint, edit->hint))
            && told->faults[i].warning == (edit->how == WARNING))
            return true;
    return false;
}

TEST(every_mistake_is_found_at_its_place)
{
    size_t missed = 0;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        const struct edit *edit = &edits[i];
        static struct edited edited;
        static struct told told;
        struct app_manifest *manifest = NULL;
        cairn_error error = {0};
        told.count = told.wrong = 0;
        apply_edit(edit, &edited);
        cairn_err err = app_manifest_read(edited.files, edited.count, tell, &told, &manifest, &error);
        bool fine = edit_is_told(edit, &told, line_of(text_of(&edited, edit->file), edit->at))
                    && err == (told.wrong ? CAIRN_E_INVALID : CAIRN_OK) && (edit->how == OTHERS || told.wrong == (edit->how == ALONE));
        if (!fine) {
            print_message("edit %zu (%s: %s → %s) must tell: %s:%u: %s; %s told:\n", i, edit->in, edit->from ? edit->from : "all",
                          edit->to ? edit->to : "gone", edit->file, line_of(text_of(&edited, edit->file), edit->at), edit->message,
                          cairn_err_name(err));
            print_told(&told);
            missed++;
        }
        app_manifest_free(manifest);
    }
    assert_int_equal(missed, 0);
}

/* ---- the good app, and bounds */

TEST(a_good_app_is_read_whole)
{
    static struct told told;
    struct app_manifest *m = NULL;
    cairn_error error = {0};
    told.count = told.wrong = 0;
    cairn_err err = app_manifest_read(good_files, GOOD_COUNT, tell, &told, &m, &error);
    print_told(&told);
    CHECK_OK(err);
    CHECK_INT(told.count, 0);
    CHECK(cairn_str_equal(m->name, CAIRN_STR("shop")));
    CHECK_INT(m->decider_count, 1);
    CHECK_INT(m->deciders[0].snapshots.every_events, 10);
    CHECK_INT(m->deciders[0].memory_max, 32 << 20);
    CHECK_INT(m->command_count, 2);
    CHECK_INT(m->commands[0].deadline_ms, 2000);
    CHECK(cairn_str_equal(m->commands[0].permission, CAIRN_STR("orders.write")));
    CHECK_INT(m->event_count, 2);
    CHECK_INT(m->events[0].upcast_to_max, 3);
    CHECK_INT(m->events[0].upcast_to_count, 2);
    CHECK_INT(m->lua_upcast_count, 1);
    CHECK_INT(m->events[1].schema_text.size, 0);
    CHECK_INT(m->projection_count, 1);
    CHECK_INT(m->projection_on_error[0].what, CAIRN_ON_ERROR_SKIP);
    CHECK_INT(m->query_count, 1);
    CHECK_INT(m->topic_count, 3);
    CHECK(cairn_str_equal(m->topics[0].category, CAIRN_STR("order")) && m->topics[0].partitions == 0 && m->topics[0].config_count == 0);
    CHECK(m->topics[1].category.size == 0 && m->topics[1].partitions == 6 && m->topics[1].config_count == 2);
    CHECK(cairn_str_equal(m->topics[2].name, CAIRN_STR("shipment")) && m->topics[2].category.size == 0);
    CHECK_INT(m->digest.size, 64);
    CHECK_INT(m->file_count, GOOD_COUNT);
    CHECK(cairn_str_equal(m->files[0].path, CAIRN_STR("README.md"))); /* by path */
    app_manifest_free(m);
}

/* The schema of PlaceOrder refers to common.json: its text says it all, and holds what it is to hold. */
TEST(schemas_of_several_files_are_made_whole)
{
    struct app_manifest *m = NULL;
    cairn_error error = {0};
    struct arena arena = {0};
    struct json data;
    size_t count;
    struct json_schema_fault faults[4];
    CHECK_OK(app_manifest_read(good_files, GOOD_COUNT, NULL, NULL, &m, &error));
    struct json text = json_trusted(m->commands[0].schema_text);
    CHECK(json_get(json_get(text, "$defs"), "schemas/common.json").type == JSON_OBJECT);
    CHECK(json_string_is(json_get(json_get(json_get(text, "properties"), "order_id"), "$ref"), "#/$defs/schemas~1common.json/$defs/id"));
    CHECK_OK(json_check(CAIRN_STR("{\"order_id\":\"o1\",\"customer\":\"ann\"}"), &data, &error));
    CHECK_OK(json_schema_validate(m->commands[0].schema, data, &arena, faults, 4, &count, &error));
    CHECK_OK(json_check(CAIRN_STR("{\"order_id\":\"\",\"customer\":\"ann\"}"), &data, &error));
    CHECK_INT(json_schema_validate(m->commands[0].schema, data, &arena, faults, 4, &count, &error), CAIRN_E_INVALID);
    CHECK(cairn_str_equal(faults[0].instance, CAIRN_STR("/order_id")));
    arena_free(&arena);
    app_manifest_free(m);
}

/* A thousand wrong members give 200 faults, the last of which says that there are more. */
TEST(faults_are_bounded)
{
    static struct told told;
    static char yaml[64 * 1024];
    size_t size = 0;
    struct app_manifest *m = NULL;
    cairn_error error = {0};
    for (int i = 0; i < 1000; i++)
        size += (size_t)snprintf(yaml + size, sizeof yaml - size, "nothing%d: 1\n", i);
    told.count = told.wrong = 0;
    cairn_app_file file = {CAIRN_STR("app.yaml"), {yaml, size}};
    CHECK_INT(app_manifest_read(&file, 1, tell, &told, &m, &error), CAIRN_E_INVALID);
    CHECK_INT(told.count, APP_FAULTS_MAX);
    CHECK(strstr(told.faults[APP_FAULTS_MAX - 1].message, "more faults"));
    CHECK(strstr(error.detail, "app.yaml:1"));
}

/* What would take a parser's memory or stack is refused: depth, size, many values, a billion laughs. */
TEST(hostile_yaml_is_refused)
{
    static char yaml[600 * 1024];
    static const char laughs[] = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
                                 "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c, *c, *c, *c, *c]\n";
    struct {
        const char *what;
        size_t size;
    } tries[] = {{"[", 200000}, {"{a: ", 200000}, {"- ", 200000}, {"? ", 200000}, {"a\n", 300 * 1024}, {"- x\n", 240000}, {"\"", 1}, {"\t", 1}, {"%", 1}};
    struct app_manifest *m = NULL;
    cairn_error error = {0};
    static struct told told;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        size_t one = strlen(tries[i].what), size = 0;
        while (size + one <= tries[i].size) {
            memcpy(yaml + size, tries[i].what, one);
            size += one;
        }
        cairn_app_file file = {CAIRN_STR("app.yaml"), {yaml, size}};
        told.count = told.wrong = 0;
        CHECK_INT(app_manifest_read(&file, 1, tell, &told, &m, &error), CAIRN_E_INVALID);
        CHECK(told.count == 1 || (told.count == 2 && told.wrong == 1)); /* text that says nothing is an app without a name */
    }
    cairn_app_file file = {CAIRN_STR("app.yaml"), {laughs, sizeof laughs - 1}};
    CHECK_INT(app_manifest_read(&file, 1, NULL, NULL, &m, &error), CAIRN_E_INVALID);
    CHECK(strstr(error.detail, "anchors"));
}

/* ---- against earlier versions */

struct earlier {
    const char *texts[4];
};

static bool
give_earlier(void *context, cairn_str type, uint32_t version, cairn_str *ret)
{
    const struct earlier *earlier = context;
    if (!cairn_str_equal(type, CAIRN_STR("OrderPlaced")) || version > 4 || !earlier->texts[version - 1])
        return false;
    *ret = cairn_cstr(earlier->texts[version - 1]);
    return true;
}

TEST(an_incompatible_schema_needs_an_upcaster)
{
    static const char now[] = "{\"type\": \"object\", \"required\": [\"customer\"],\n"
                              " \"properties\": {\"customer\": {\"type\": \"string\"}, \"quantity\": {\"type\": \"integer\"}}}\n";
    static const char other[] = "{\"type\":\"object\",\"required\":[\"client\"],\"properties\":{\"client\":{\"type\":\"string\"}}}";
    static const struct {
        struct earlier earlier;
        cairn_err err;
        const char *message; /* of the one fault or warning, or NULL for none */
    } cases[] = {
        {{{NULL}}, CAIRN_OK, "newest version is 1"},                      /* never deployed; the app has steps to 3 */
        {{{other, other, now}}, CAIRN_OK, NULL},                          /* the same as version 3 */
        {{{other, other}}, CAIRN_OK, NULL},                               /* becomes version 3, which has a step */
        {{{other, other, other}}, CAIRN_E_INVALID, "not BACKWARD with version 3"}, /* becomes 4, which has none */
        {{{other}}, CAIRN_OK, "newest version is 2"},
    };
    struct app_manifest *m = NULL;
    cairn_error error = {0};
    static struct told told;
    CHECK_OK(app_manifest_read(good_files, GOOD_COUNT, NULL, NULL, &m, &error));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct earlier earlier = cases[i].earlier;
        told.count = told.wrong = 0;
        cairn_err err = app_manifest_check_schemas(m, give_earlier, &earlier, tell, &told, &error);
        if (err != cases[i].err || (told.count > 0) != (cases[i].message != NULL)
            || (told.count && !strstr(told.faults[0].message, cases[i].message))) {
            print_told(&told);
            fail_msg("case %zu: %s", i, cairn_err_name(err));
        }
        if (err == CAIRN_E_INVALID) {
            CHECK_STR(told.faults[0].file, "schemas/order_placed.json");
            CHECK(strstr(told.faults[0].hint, "to: 4"));
        }
    }
    app_manifest_free(m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_good_app_is_read_whole),
        RUN(every_mistake_is_found_at_its_place),
        RUN(schemas_of_several_files_are_made_whole),
        RUN(faults_are_bounded),
        RUN(hostile_yaml_is_refused),
        RUN(an_incompatible_schema_needs_an_upcaster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
