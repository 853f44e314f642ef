/* The metaschemas: what a schema looks like, as schemas. For "$ref" to them, and for whoever extends them.
 *
 * The same constraints as those published at json-schema.org, without titles, defaults and comments. */
#include <schema/json_schema_int.h>

#define D20 "https://json-schema.org/draft/2020-12/"
#define HEAD(name) "{\"$schema\":\"" D20 "schema\",\"$id\":\"" D20 name "\",\"$dynamicAnchor\":\"meta\","
#define BODY "\"type\":[\"object\",\"boolean\"],"
#define SCHEMA "{\"$dynamicRef\":\"#meta\"}"
#define SCHEMAS "{\"type\":\"object\",\"additionalProperties\":{\"$dynamicRef\":\"#meta\"}}"
#define LIST "{\"type\":\"array\",\"minItems\":1,\"items\":{\"$dynamicRef\":\"#meta\"}}"
#define COUNT "{\"type\":\"integer\",\"minimum\":0}"
#define NUMBER "{\"type\":\"number\"}"
#define POSITIVE "{\"type\":\"number\",\"exclusiveMinimum\":0}"
#define STRING "{\"type\":\"string\"}"
#define FLAG "{\"type\":\"boolean\"}"
#define REGEX "{\"type\":\"string\",\"format\":\"regex\"}"
#define URI_REFERENCE "{\"type\":\"string\",\"format\":\"uri-reference\"}"
#define NAMES "{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"uniqueItems\":true}"
#define TYPE                                                                                                      \
    "{\"anyOf\":[{\"$ref\":\"#/$defs/t\"},{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"},\"minItems\":1,"    \
    "\"uniqueItems\":true}]}"
#define TYPES "[\"array\",\"boolean\",\"integer\",\"null\",\"number\",\"object\",\"string\"]"
#define V "\"" D20 "vocab/"

static const char schema_2020[] =
    HEAD("schema") BODY
    "\"$vocabulary\":{" V "core\":true," V "applicator\":true," V "unevaluated\":true," V "validation\":true,"
    V "meta-data\":true," V "format-annotation\":true," V "content\":true},"
    "\"allOf\":[{\"$ref\":\"meta/core\"},{\"$ref\":\"meta/applicator\"},{\"$ref\":\"meta/unevaluated\"},"
    "{\"$ref\":\"meta/validation\"},{\"$ref\":\"meta/meta-data\"},{\"$ref\":\"meta/format-annotation\"},"
    "{\"$ref\":\"meta/content\"}],"
    "\"properties\":{\"definitions\":" SCHEMAS ",\"dependencies\":{\"type\":\"object\",\"additionalProperties\":"
    "{\"anyOf\":[" SCHEMA ",{\"$ref\":\"meta/validation#/$defs/names\"}]}},"
    "\"$recursiveAnchor\":{\"$ref\":\"meta/core#/$defs/anchor\"},\"$recursiveRef\":" URI_REFERENCE "}}";

static const char core_2020[] =
    HEAD("meta/core") BODY
    "\"properties\":{\"$id\":{\"type\":\"string\",\"format\":\"uri-reference\",\"pattern\":\"^[^#]*#?$\"},"
    "\"$schema\":{\"$ref\":\"#/$defs/uri\"},\"$ref\":" URI_REFERENCE ",\"$anchor\":{\"$ref\":\"#/$defs/anchor\"},"
    "\"$dynamicRef\":" URI_REFERENCE ",\"$dynamicAnchor\":{\"$ref\":\"#/$defs/anchor\"},"
    "\"$vocabulary\":{\"type\":\"object\",\"propertyNames\":{\"$ref\":\"#/$defs/uri\"},\"additionalProperties\":" FLAG "},"
    "\"$comment\":" STRING ",\"$defs\":" SCHEMAS "},"
    "\"$defs\":{\"anchor\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z_][-A-Za-z0-9._]*$\"},"
    "\"uri\":{\"type\":\"string\",\"format\":\"uri\"}}}";

static const char applicator_2020[] =
    HEAD("meta/applicator") BODY
    "\"properties\":{\"prefixItems\":" LIST ",\"items\":" SCHEMA ",\"contains\":" SCHEMA
    ",\"additionalProperties\":" SCHEMA ",\"properties\":" SCHEMAS
    ",\"patternProperties\":{\"type\":\"object\",\"additionalProperties\":" SCHEMA ",\"propertyNames\":{\"format\":\"regex\"}}"
    ",\"dependentSchemas\":" SCHEMAS ",\"propertyNames\":" SCHEMA ",\"if\":" SCHEMA ",\"then\":" SCHEMA ",\"else\":" SCHEMA
    ",\"allOf\":" LIST ",\"anyOf\":" LIST ",\"oneOf\":" LIST ",\"not\":" SCHEMA "}}";

static const char unevaluated_2020[] =
    HEAD("meta/unevaluated") BODY
    "\"properties\":{\"unevaluatedItems\":" SCHEMA ",\"unevaluatedProperties\":" SCHEMA "}}";

static const char validation_2020[] =
    HEAD("meta/validation") BODY
    "\"properties\":{\"type\":" TYPE ",\"const\":true,\"enum\":{\"type\":\"array\",\"items\":true},"
    "\"multipleOf\":" POSITIVE ",\"maximum\":" NUMBER ",\"exclusiveMaximum\":" NUMBER ",\"minimum\":" NUMBER
    ",\"exclusiveMinimum\":" NUMBER ",\"maxLength\":" COUNT ",\"minLength\":" COUNT ",\"pattern\":" REGEX
    ",\"maxItems\":" COUNT ",\"minItems\":" COUNT ",\"uniqueItems\":" FLAG ",\"maxContains\":" COUNT ",\"minContains\":" COUNT
    ",\"maxProperties\":" COUNT ",\"minProperties\":" COUNT ",\"required\":" NAMES
    ",\"dependentRequired\":{\"type\":\"object\",\"additionalProperties\":" NAMES "}},"
    "\"$defs\":{\"names\":" NAMES ",\"t\":{\"enum\":" TYPES "}}}";

static const char meta_data_2020[] =
    HEAD("meta/meta-data") BODY
    "\"properties\":{\"title\":" STRING ",\"description\":" STRING ",\"default\":true,\"deprecated\":" FLAG
    ",\"readOnly\":" FLAG ",\"writeOnly\":" FLAG ",\"examples\":{\"type\":\"array\",\"items\":true}}}";

static const char format_2020[] = HEAD("meta/format-annotation") BODY "\"properties\":{\"format\":" STRING "}}";

static const char content_2020[] =
    HEAD("meta/content") BODY
    "\"properties\":{\"contentEncoding\":" STRING ",\"contentMediaType\":" STRING ",\"contentSchema\":" SCHEMA "}}";

#define S7 "{\"$ref\":\"#\"}"
#define SCHEMAS7 "{\"type\":\"object\",\"additionalProperties\":{\"$ref\":\"#\"}}"
#define LIST7 "{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#\"}}"
#define TYPE7                                                                                                     \
    "{\"anyOf\":[{\"enum\":" TYPES "},{\"type\":\"array\",\"items\":{\"enum\":" TYPES "},\"minItems\":1,\"uniqueItems\":true}]}"

static const char schema_7[] =
    "{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"$id\":\"http://json-schema.org/draft-07/schema#\"," BODY
    "\"properties\":{\"$id\":" URI_REFERENCE ",\"$schema\":{\"type\":\"string\",\"format\":\"uri\"},\"$ref\":" URI_REFERENCE
    ",\"$comment\":" STRING ",\"title\":" STRING ",\"description\":" STRING ",\"default\":true,\"readOnly\":" FLAG
    ",\"examples\":{\"type\":\"array\",\"items\":true},\"multipleOf\":" POSITIVE ",\"maximum\":" NUMBER
    ",\"exclusiveMaximum\":" NUMBER ",\"minimum\":" NUMBER ",\"exclusiveMinimum\":" NUMBER ",\"maxLength\":" COUNT
    ",\"minLength\":" COUNT ",\"pattern\":" REGEX ",\"additionalItems\":" S7 ",\"items\":{\"anyOf\":[" S7 "," LIST7 "]}"
    ",\"maxItems\":" COUNT ",\"minItems\":" COUNT ",\"uniqueItems\":" FLAG ",\"contains\":" S7 ",\"maxProperties\":" COUNT
    ",\"minProperties\":" COUNT ",\"required\":" NAMES ",\"additionalProperties\":" S7 ",\"definitions\":" SCHEMAS7
    ",\"properties\":" SCHEMAS7
    ",\"patternProperties\":{\"type\":\"object\",\"additionalProperties\":" S7 ",\"propertyNames\":{\"format\":\"regex\"}}"
    ",\"dependencies\":{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[" S7 "," NAMES "]}},\"propertyNames\":" S7
    ",\"const\":true,\"enum\":{\"type\":\"array\",\"items\":true},\"type\":" TYPE7 ",\"format\":" STRING
    ",\"contentMediaType\":" STRING ",\"contentEncoding\":" STRING ",\"if\":" S7 ",\"then\":" S7 ",\"else\":" S7
    ",\"allOf\":" LIST7 ",\"anyOf\":" LIST7 ",\"oneOf\":" LIST7 ",\"not\":" S7 "}}";

bool
js_metaschema(cairn_str uri, cairn_str *ret_text)
{
    static const struct {
        const char *uri, *text;
    } known[] = {
        {D20 "schema", schema_2020},
        {D20 "meta/core", core_2020},
        {D20 "meta/applicator", applicator_2020},
        {D20 "meta/unevaluated", unevaluated_2020},
        {D20 "meta/validation", validation_2020},
        {D20 "meta/meta-data", meta_data_2020},
        {D20 "meta/format-annotation", format_2020},
        {D20 "meta/content", content_2020},
        {"http://json-schema.org/draft-07/schema", schema_7},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (cairn_str_equal(uri, cairn_cstr(known[i].uri))) {
            *ret_text = cairn_cstr(known[i].text);
            return true;
        }
    return false;
}
