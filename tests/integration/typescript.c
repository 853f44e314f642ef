/* Goal: a decider written in TypeScript compiles with types made from schemas, loads in the sandbox and decides; what does
 * not fit the schemas does not compile.
 * Method: templates/typescript, a decider of this test, types by lua_typescript_types(); npm's compiler; then as any Lua
 * decider. Skipped by name where npm cannot install. */
#include "../lua_rig.h"

#include <app/lua/types_ts.h>
#include <dirent.h>

static const char place_schema[] =
    "{\"type\":\"object\",\"description\":\"Buy */ things\",\"required\":[\"order_id\",\"customer\",\"items\"],\"properties\":{"
    "\"order_id\":{\"type\":\"string\"},\"customer\":{\"type\":\"string\",\"description\":\"whose\"},"
    "\"items\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/item\"}},\"note\":{\"type\":[\"string\",\"null\"]},"
    "\"ship-to\":{\"$ref\":\"#/$defs/address\"},\"kind\":{\"enum\":[\"normal\",\"gift\",3,null]},"
    "\"pay\":{\"oneOf\":[{\"type\":\"object\",\"required\":[\"card\"],\"properties\":{\"card\":{\"type\":\"string\"}}},"
    "{\"type\":\"object\",\"required\":[\"cash\"],\"properties\":{\"cash\":{\"const\":true}}}]},"
    "\"extra\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}},"
    "\"pair\":{\"type\":\"array\",\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"number\"}],\"items\":false},"
    "\"both\":{\"allOf\":[{\"$ref\":\"#/$defs/address\"},{\"type\":\"object\",\"properties\":{\"floor\":{\"type\":\"integer\"}}}]},"
    "\"maybe\":{\"type\":\"string\",\"nullable\":true},\"any\":true,\"tree\":{\"$ref\":\"#/$defs/tree\"},\"self\":{\"$ref\":\"#\"}},"
    "\"$defs\":{\"item\":{\"type\":\"object\",\"required\":[\"sku\",\"qty\",\"price\"],\"properties\":{\"sku\":{\"type\":\"string\"},"
    "\"qty\":{\"type\":\"integer\",\"minimum\":0},\"price\":{\"type\":\"number\"}}},"
    "\"address\":{\"type\":\"object\",\"required\":[\"city\"],\"properties\":{\"city\":{\"type\":\"string\"}}},"
    "\"tree\":{\"type\":\"object\",\"properties\":{\"left\":{\"$ref\":\"#/$defs/tree\"},\"leaf\":{\"type\":\"string\"}}}}}";
static const char placed_schema[] =
    "{\"type\":\"object\",\"required\":[\"customer\",\"items\",\"checks\"],\"additionalProperties\":false,\"properties\":{"
    "\"customer\":{\"type\":\"string\"},\"checks\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
    "\"items\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"sku\",\"qty\",\"price\"],\"properties\":{"
    "\"sku\":{\"type\":\"string\"},\"qty\":{\"type\":\"integer\"},\"price\":{\"type\":\"number\"}}}}}}";
static const char cancelled_schema[] =
    "{\"type\":\"object\",\"required\":[\"by\"],\"properties\":{\"by\":{\"type\":\"string\"}}}";

static const char order_ts[] =
    "import type { Decider, PlaceOrder, PlaceOrder_item } from \"./types.gen\";\n"
    "import { total } from \"./parts/money\";\n"
    "interface State { status: \"new\" | \"placed\" | \"cancelled\"; items: PlaceOrder_item[]; total: number; ids: string[] }\n"
    "class Line { constructor(private sku: string, private qty: number) {} text() { return `${this.qty} x ${this.sku}`; } }\n"
    "class Loud extends Line { text() { return super.text() + \"!\"; } }\n"
    "function* upTo(n: number) { for (let i = 0; i < n; i++) yield i; }\n"
    "function checks(data: PlaceOrder): string[] {\n"
    "  const bySku = new Map<string, number>();\n"
    "  for (const item of data.items) bySku.set(item.sku, (bySku.get(item.sku) ?? 0) + item.qty);\n"
    "  const names = [...bySku.keys()].map((sku, i) => `${i}:${sku}=${bySku.get(sku)}`).join(\",\");\n"
    "  let sum = 0;\n"
    "  new Set([1, 2, 3, 3]).forEach((n) => { sum += n; });\n"
    "  for (const n of upTo(4)) sum += n;\n"
    "  let caught = \"\";\n"
    "  try { throw new Error(\"inner\"); } catch (e) { caught = `${e}`; } finally { sum += 100; }\n"
    "  const { order_id, ...rest } = data;\n"
    "  const pay = data.pay && \"card\" in data.pay ? data.pay.card : \"none\";\n"
    "  return [names, `${sum}`, caught, new Loud(order_id, 2).text(), Object.keys(rest).sort().join(\"/\"), pay,\n"
    "    data.note === null || data.note === undefined ? \"no note\" : data.note, data[\"ship-to\"]?.city ?? \"nowhere\",\n"
    "    `${Math.max(...[1, 5, 3])}`, [3, 1, 2].sort((a, b) => a - b).join(\"<\"), data.tree?.left?.leaf ?? \"-\"];\n"
    "}\n"
    "const decider: Decider<State> = {\n"
    "  nulls: \"nil\",\n"
    "  initial: { status: \"new\", items: array([]), total: 0, ids: array([]) },\n"
    "  evolve: {\n"
    "    OrderPlaced(state, event) {\n"
    "      state.status = \"placed\"; state.items = event.data.items; state.total = total(event.data.items);\n"
    "      state.ids.push(event.id);\n"
    "    },\n"
    "    OrderCancelled: (state, event) => ({ ...state, status: \"cancelled\" as const }),\n"
    "  },\n"
    "  decide: {\n"
    "    PlaceOrder(state, command) {\n"
    "      if (state.status !== \"new\") reject(\"already_placed\", `it is ${state.status}`, { items: state.items.length });\n"
    "      const items = command.data.items.filter((item) => item.qty > 0);\n"
    "      if (items.length === 0) throw new Error(\"nothing to buy\");\n"
    "      return { type: \"OrderPlaced\", data: { customer: command.data.customer, items, checks: checks(command.data) },\n"
    "               tags: [`customer:${command.data.customer}`] };\n"
    "    },\n"
    "    Cancel(state, command) {\n"
    "      if (state.status !== \"placed\") return reject(\"not_placed\");\n"
    "      return [{ type: \"OrderCancelled\", data: { by: command.actor + state.items.map((i) => i.sku).join() } }];\n"
    "    },\n"
    "  },\n"
    "};\n"
    "export default decider;\n";
static const char money_ts[] =
    "export function total(items: readonly { qty: number; price: number }[]): number {\n"
    "  return items.reduce((sum, item) => sum + item.qty * item.price, 0);\n"
    "}\n";

/* Each must not compile, and the compiler must say why. */
static const struct { const char *source, *says; } wrong[] = {
    {"const d: Decider<{ n: number }, \"Cancel\"> = { nulls: \"nil\", initial: { n: 0 }, evolve: {},\n"
     "  decide: { Cancel: () => ({ type: \"OrderCancelled\", data: { by: 5 } }) } };\nexport default d;\n", "TS2322"},
    {"const d: Decider<{ n: number }, \"Cancel\"> = { nulls: \"nil\", initial: { n: 0 }, evolve: {},\n"
     "  decide: { Cancel: (state) => { state.n = 1; } } };\nexport default d;\n", "TS2540"},
    {"const d: Decider<{ n: number }, \"Cancel\"> = { nulls: \"nil\", initial: { n: 0 }, evolve: {},\n"
     "  decide: { Cancel: () => ({ type: \"NoSuchEvent\", data: {} }) } };\nexport default d;\n", "TS2322"},
    {"const d: Decider<{ n: number }, \"PlaceOrder\"> = { nulls: \"nil\", initial: { n: 0 }, evolve: {},\n"
     "  decide: { PlaceOrder(state, command) { command.data.nothing; } } };\nexport default d;\n", "TS2339"}};

static char folder[64];

static void
write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static char *
read_file(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    struct buf text = {0};
    char block[4096];
    for (size_t size; (size = fread(block, 1, sizeof block, file)) > 0;)
        buf_put(&text, block, size);
    fclose(file);
    buf_put_char(&text, 0);
    return text.data;
}

static int
run(const char *command)
{
    char line[512];
    snprintf(line, sizeof line, "cd '%s' && %s", folder, command);
    return system(line);
}

static void
write_types(void)
{
    struct lua_type_source sources[] = {
        {LUA_TYPE_COMMAND, CAIRN_STR("PlaceOrder"), cairn_cstr(place_schema)},
        {LUA_TYPE_COMMAND, CAIRN_STR("Cancel"), {NULL, 0}},
        {LUA_TYPE_EVENT, CAIRN_STR("OrderPlaced"), cairn_cstr(placed_schema)},
        {LUA_TYPE_EVENT, CAIRN_STR("OrderCancelled"), cairn_cstr(cancelled_schema)}};
    struct buf text = {0};
    cairn_error error;
    CHECK_OK(lua_typescript_types(CAIRN_STR("orders"), sources, 4, &text, &error));
    buf_put_char(&text, 0);
    write_file("src/types.gen.d.ts", text.data);
    buf_free(&text);
}

static size_t
add_sources(cairn_app_file *files, size_t count, size_t max, const char *sub)
{
    char path[256], *name;
    snprintf(path, sizeof path, "%s/%s", folder, sub);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        if (!strstr(entry->d_name, ".lua") || count == max)
            continue;
        assert_true(asprintf(&name, "%s%s", sub, entry->d_name) > 0);
        char *text = read_file(name);
        files[count++] = (cairn_app_file){cairn_cstr(name), cairn_cstr(text)};
    }
    if (dir)
        closedir(dir);
    return count;
}

static void
check_decisions(void)
{
    static const char order[] = "{\"order_id\":\"o1\",\"customer\":\"7\",\"note\":null,\"pay\":{\"card\":\"4711\"},\"ship-to\":{\"city\":"
                                "\"Ulm\"},\"tree\":{\"left\":{\"leaf\":\"l\"}},\"items\":[{\"sku\":\"b\",\"qty\":2,\"price\":1.5},"
                                "{\"sku\":\"a\",\"qty\":0,\"price\":1}]}";
    cairn_app_file files[16];
    size_t count = add_sources(files, 0, 16, "");
    count = add_sources(files, count, 16, "parts/");
    struct lua_sources sources = {files, count};
    struct lua_rig rig = {0};
    cairn_err err = lua_decider_make("order", CAIRN_STR("order.lua"), &sources, &rig.limits, &rig.decider, &rig.error);
    if (err == CAIRN_OK)
        err = rig_start(&rig);
    if (err != CAIRN_OK)
        fail_msg("%s", rig.error.detail);
    CHECK_STR(rig_save(&rig), "{\"ids\":[],\"items\":[],\"status\":\"new\",\"total\":0}");
    CHECK_STR(rig_decide(&rig, "PlaceOrder", order),
              "OrderPlaced#customer:7 {\"checks\":[\"0:b=2,1:a=0\",\"112\",\"Error: inner\",\"2 x o1!\","
              "\"customer/items/pay/ship-to/tree\",\"4711\",\"no note\",\"Ulm\",\"5\",\"1<2<3\",\"l\"],\"customer\":\"7\","
              "\"items\":[{\"price\":1.5,\"qty\":2,\"sku\":\"b\"}]}\n");
    const char *said = rig_decide(&rig, "PlaceOrder", "{\"order_id\":\"o\",\"customer\":\"7\",\"items\":[]}");
    CHECK(strncmp(said, "order.lua:", 10) == 0 && strstr(said, "Error: nothing to buy") != NULL);
    CHECK_STR(rig_evolve(&rig, "OrderPlaced", order), "");
    CHECK_STR(rig_decide(&rig, "PlaceOrder", order), "!already_placed|it is placed|{\"items\":2}");
    CHECK_STR(rig_decide(&rig, "Cancel", "{}"), "OrderCancelled {\"by\":\"annb,a\"}\n");
    CHECK_STR(rig_evolve(&rig, "OrderCancelled", "{}"), "");
    CHECK(strstr(rig_save(&rig), "\"status\":\"cancelled\",\"total\":3") != NULL);
    rig_close(&rig);
    for (size_t i = 0; i < count; i++) {
        free((char *)(uintptr_t)files[i].path.data);
        free((char *)(uintptr_t)files[i].text.data);
    }
}

TEST(typescript_compiles_and_decides)
{
    test_folder(folder);
    char line[256];
    snprintf(line, sizeof line, "cp -r templates/typescript/. '%s' && mkdir -p '%s/src/parts'", folder, folder);
    CHECK_INT(system(line), 0);
    if (run("npm install --no-audit --no-fund --silent >npm.log 2>&1") != 0) {
        printf("SKIP typescript: npm cannot install typescript-to-lua here\n");
        test_remove(folder);
        skip();
    }
    write_types();
    write_file("src/order.ts", order_ts);
    write_file("src/parts/money.ts", money_ts);
    if (run("npm run --silent build >build.log 2>&1") != 0)
        fail_msg("%s\n%s", read_file("build.log"), read_file("src/types.gen.d.ts"));
    check_decisions();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[2048];
        snprintf(text, sizeof text, "import type { Decider } from \"./types.gen\";\n%s", wrong[i].source);
        write_file("src/order.ts", text);
        int status = run("npm run --silent build >build.log 2>&1");
        char *log = read_file("build.log");
        if (status == 0 || !strstr(log, wrong[i].says))
            fail_msg("compiled, or failed otherwise than by %s:\n%s\n%s", wrong[i].says, wrong[i].source, log);
        free(log);
    }
    test_remove(folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(typescript_compiles_and_decides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
