/* The files that are imported without being registered: their messages as far as data needs them. Names and numbers are those
 * of protobuf.dev/reference/protobuf/google.protobuf and of Confluent's Decimal. */
#include <schema/protobuf_int.h>

#define PROTO3 "syntax=\"proto3\";package google.protobuf;"
#define WRAPPER(name, type) "message " name "{" type " value=1;}"

static const struct {
    const char *name, *text;
} known[] = {
    {"google/protobuf/any.proto", PROTO3 "message Any{string type_url=1;bytes value=2;}"},
    {"google/protobuf/duration.proto", PROTO3 "message Duration{int64 seconds=1;int32 nanos=2;}"},
    {"google/protobuf/timestamp.proto", PROTO3 "message Timestamp{int64 seconds=1;int32 nanos=2;}"},
    {"google/protobuf/empty.proto", PROTO3 "message Empty{}"},
    {"google/protobuf/field_mask.proto", PROTO3 "message FieldMask{repeated string paths=1;}"},
    {"google/protobuf/struct.proto",
     PROTO3 "message Struct{map<string,Value> fields=1;}"
            "message Value{oneof kind{NullValue null_value=1;double number_value=2;string string_value=3;"
            "bool bool_value=4;Struct struct_value=5;ListValue list_value=6;}}"
            "enum NullValue{NULL_VALUE=0;}message ListValue{repeated Value values=1;}"},
    {"google/protobuf/wrappers.proto",
     PROTO3 WRAPPER("DoubleValue", "double") WRAPPER("FloatValue", "float") WRAPPER("Int64Value", "int64")
         WRAPPER("UInt64Value", "uint64") WRAPPER("Int32Value", "int32") WRAPPER("UInt32Value", "uint32")
             WRAPPER("BoolValue", "bool") WRAPPER("StringValue", "string") WRAPPER("BytesValue", "bytes")},
    /* What these two are for is to declare options, which are not looked at. */
    {"google/protobuf/descriptor.proto",
     "syntax=\"proto2\";package google.protobuf;message FileOptions{}message MessageOptions{}message FieldOptions{}"
     "message OneofOptions{}message EnumOptions{}message EnumValueOptions{}message ServiceOptions{}message MethodOptions{}"},
    {"confluent/meta.proto", "syntax=\"proto3\";package confluent;message Meta{string doc=1;map<string,string> params=2;"
                             "repeated string tags=3;}"},
    {"confluent/type/decimal.proto",
     "syntax=\"proto3\";package confluent.type;message Decimal{bytes value=1;uint32 precision=2;int32 scale=3;}"},
};

bool
proto_known(cairn_str name, cairn_str *ret_text)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (cairn_str_equal(name, cairn_cstr(known[i].name))) {
            *ret_text = cairn_cstr(known[i].text);
            return true;
        }
    return false;
}
