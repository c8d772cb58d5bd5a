#include "api/codec_boot.h"

#include <nlohmann/json.hpp>

#include "api/fields.h"

namespace wisp::api {

Result<BootSource> decode_boot_source(const Json& json) {
  BootSource source;
  FieldReader fields(json);
  fields.required("kernel_image_path", source.kernel_image_path);
  fields.optional("initrd_path", source.initrd_path);
  fields.optional("boot_args", source.boot_args);
  fields.refuse_nul("kernel_image_path", source.kernel_image_path);
  fields.refuse_nul("initrd_path", source.initrd_path.value_or(""));
  fields.refuse_nul("boot_args", source.boot_args.value_or(""));
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return source;
}

void write_boot_source(JsonWriter& json, const std::optional<BootSource>& source) {
  const BootSource shown = source.value_or(BootSource{});
  json.open_object();
  json.key("kernel_image_path").string(shown.kernel_image_path);
  json.key("initrd_path").optional_string(shown.initrd_path);
  json.key("boot_args").optional_string(shown.boot_args);
  json.close_object();
}

}  // namespace wisp::api
