#include "serve/web/web.h"

namespace radlads {
namespace {

constexpr char kIndex[] =
#include "serve/web/index.html.inc"
    ;
constexpr char kStyle[] =
#include "serve/web/style.css.inc"
    ;
constexpr char kScript[] =
#include "serve/web/script.js.inc"
    ;

}  // namespace

std::span<const WebFile> WebFiles() {
  static constexpr WebFile kFiles[] = {{"/", "text/html; charset=utf-8", kIndex},
                                       {"/style.css", "text/css; charset=utf-8", kStyle},
                                       {"/script.js", "text/javascript; charset=utf-8", kScript}};
  return kFiles;
}

}  // namespace radlads
