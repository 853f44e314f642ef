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
    bool plain = utf8_valid(text);
    buf_put_char(to, '"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = (uint8_t)text.data[i];
        if (c == '"' || c == '\\')
            buf_printf(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7F || (c > 0x7F && !plain))
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

/* A number or a word as text has it: one token, with a '-' before it or not. */
bool
proto_is_scalar(cairn_str text)
{
    char c = text.size ? text.data[0] : 0;
    if (c == '-')
        text = (cairn_str){text.data + 1, text.size - 1};
    bool digits = false, word = text.size && (text.data[0] < '0' || text.data[0] > '9') && text.data[0] != '.';
    for (size_t i = 0; i < text.size && word; i++)
        word = digit(text.data[i]) < 10 || ((text.data[i] | 32) >= 'a' && (text.data[i] | 32) <= 'z') || text.data[i] == '_';
    if (word)
        return true;
    for (size_t i = 0; i < text.size; i++) {
        bool sign = (text.data[i] == '+' || text.data[i] == '-') && i > 0 && (text.data[i - 1] == 'e' || text.data[i - 1] == 'E');
        bool digit = text.data[i] >= '0' && text.data[i] <= '9';
        digits |= digit;
        if (!digit && !sign && text.data[i] != '.' && (i == 0 || (text.data[i] != 'e' && text.data[i] != 'E')))
            return false;
    }
    return digits;
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
