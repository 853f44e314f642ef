/* The options of descriptor.proto that are kept from a descriptor and can be written into one, and texts as they stand between
 * quotes. */
#include <schema/protobuf_int.h>

static const char *const speeds[] = {"", "SPEED", "CODE_SIZE", "LITE_RUNTIME", NULL};
static const char *const ctypes[] = {"STRING", "CORD", "STRING_PIECE", NULL};
static const char *const jstypes[] = {"JS_NORMAL", "JS_STRING", "JS_NUMBER", NULL};

const struct proto_option_kind proto_option_kinds[PROTO_OPTION_KINDS] = {
    {PROTO_OF_FILE, 1, "java_package", PROTO_IS_TEXT, NULL}, {PROTO_OF_FILE, 8, "java_outer_classname", PROTO_IS_TEXT, NULL},
    {PROTO_OF_FILE, 9, "optimize_for", PROTO_IS_WORD, speeds}, {PROTO_OF_FILE, 10, "java_multiple_files", PROTO_IS_BOOL, NULL},
    {PROTO_OF_FILE, 11, "go_package", PROTO_IS_TEXT, NULL}, {PROTO_OF_FILE, 16, "cc_generic_services", PROTO_IS_BOOL, NULL},
    {PROTO_OF_FILE, 17, "java_generic_services", PROTO_IS_BOOL, NULL}, {PROTO_OF_FILE, 18, "py_generic_services", PROTO_IS_BOOL, NULL},
    {PROTO_OF_FILE, 20, "java_generate_equals_and_hash", PROTO_IS_BOOL, NULL}, {PROTO_OF_FILE, 23, "deprecated", PROTO_IS_BOOL, NULL},
    {PROTO_OF_FILE, 27, "java_string_check_utf8", PROTO_IS_BOOL, NULL}, {PROTO_OF_FILE, 31, "cc_enable_arenas", PROTO_IS_BOOL, NULL},
    {PROTO_OF_FILE, 36, "objc_class_prefix", PROTO_IS_TEXT, NULL}, {PROTO_OF_FILE, 37, "csharp_namespace", PROTO_IS_TEXT, NULL},
    {PROTO_OF_FILE, 39, "swift_prefix", PROTO_IS_TEXT, NULL}, {PROTO_OF_FILE, 40, "php_class_prefix", PROTO_IS_TEXT, NULL},
    {PROTO_OF_FILE, 41, "php_namespace", PROTO_IS_TEXT, NULL}, {PROTO_OF_FILE, 44, "php_metadata_namespace", PROTO_IS_TEXT, NULL},
    {PROTO_OF_FILE, 45, "ruby_package", PROTO_IS_TEXT, NULL},
    {PROTO_OF_MESSAGE, 1, "message_set_wire_format", PROTO_IS_BOOL, NULL},
    {PROTO_OF_MESSAGE, 2, "no_standard_descriptor_accessor", PROTO_IS_BOOL, NULL}, {PROTO_OF_MESSAGE, 3, "deprecated", PROTO_IS_BOOL, NULL},
    {PROTO_OF_FIELD, 1, "ctype", PROTO_IS_WORD, ctypes}, {PROTO_OF_FIELD, 2, "packed", PROTO_IS_BOOL, NULL}, {PROTO_OF_FIELD, 3, "deprecated", PROTO_IS_BOOL, NULL},
    {PROTO_OF_FIELD, 5, "lazy", PROTO_IS_BOOL, NULL}, {PROTO_OF_FIELD, 6, "jstype", PROTO_IS_WORD, jstypes}, {PROTO_OF_FIELD, 10, "weak", PROTO_IS_BOOL, NULL},
    {PROTO_OF_ENUM, 2, "allow_alias", PROTO_IS_BOOL, NULL}, {PROTO_OF_ENUM, 3, "deprecated", PROTO_IS_BOOL, NULL},
    {PROTO_OF_VALUE, 1, "deprecated", PROTO_IS_BOOL, NULL},
};

/* ---- texts as they stand between quotes */

void
proto_put_quoted(struct buf *to, cairn_str text)
{
    buf_put_char(to, '"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = (uint8_t)text.data[i];
        if (c == '"' || c == '\\')
            buf_printf(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            buf_printf(to, "\\%03o", c);
        else
            buf_put_char(to, (char)c);
    }
    buf_put_char(to, '"');
}

static int
digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* One or several texts in quotes, one after another. */
void
proto_put_unquoted(struct buf *to, cairn_str text)
{
    static const char from[] = "abfnrtv", into[] = "\a\b\f\n\r\t\v";
    const char *at = text.data, *end = at + text.size;
    while (at < end) {
        char quote = *at++;
        if (quote != '"' && quote != '\'')
            continue;
        while (at < end && *at != quote) {
            if (*at != '\\' || end - at < 2) {
                buf_put_char(to, *at++);
                continue;
            }
            at++;
            const char *simple = strchr(from, *at);
            int base = *at == 'x' || *at == 'X' ? 16 : 8, value = 0;
            if (simple && *at) {
                buf_put_char(to, into[simple - from]);
                at++;
            } else if (base == 16 || digit(*at) < 8) {
                at += base == 16;
                for (int i = 0; i < (base == 16 ? 2 : 3) && at < end && digit(*at) < base; i++)
                    value = value * base + digit(*at++);
                buf_put_char(to, (char)value);
            } else {
                buf_put_char(to, *at++);
            }
        }
        at++;
    }
}

/* lower_case becomes lowerCase. */
void
proto_put_json_name(struct buf *to, cairn_str name)
{
    bool upper = false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (c != '_')
            buf_put_char(to, (char)(upper && c >= 'a' && c <= 'z' ? c - 32 : c));
        upper = c == '_';
    }
}
