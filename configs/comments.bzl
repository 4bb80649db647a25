"""proto_comments: what --help prints comes from the comments of the .proto, so they travel in the binary."""

load("@rules_cc//cc:defs.bzl", "cc_library")

def proto_comments(name, src, imports = [], **kwargs):
    """Embeds the descriptors of `src`, comments included, and registers them before main().

    Args:
      name: the library.
      src: the .proto file.
      imports: labels of the .proto files that it imports.
      **kwargs: visibility and the like.
    """
    native.genrule(
        name = name + "_gen",
        srcs = [src] + imports,
        outs = [name + ".cc"],
        cmd = """
protoc -I. --include_source_info --descriptor_set_out=$(RULEDIR)/%s.bin $(location %s)
{
  echo '#include "configs/comments.h"'
  echo 'namespace {'
  echo 'const unsigned char kDescriptors[] = {'
  od -An -v -tu1 $(RULEDIR)/%s.bin | sed -e 's/  *\\([0-9]\\)/\\1/' -e 's/  */,/g' -e 's/$$/,/'
  echo '};'
  echo '[[maybe_unused]] const bool registered = radlads::RegisterComments(kDescriptors, sizeof(kDescriptors));'
  echo '}'
} > $@
rm $(RULEDIR)/%s.bin
""" % (name, src, name, name),
        message = "comments of " + src,
    )
    cc_library(
        name = name,
        srcs = [name + ".cc"],
        alwayslink = True,
        deps = ["//configs:comments"],
        **kwargs
    )
