"""embed_files: text files as constants of a C++ library."""

load("@rules_cc//cc:defs.bzl", "cc_library")

def embed_files(name, srcs, header, function, **kwargs):
    """A library that defines `std::span<const EmbeddedFile> radlads::FUNCTION()`.

    Args:
      name: the library.
      srcs: the files, UTF-8 without ')EMBED"'.
      header: declares EmbeddedFile and the function.
      function: its name.
      **kwargs: visibility and the like.
    """
    native.genrule(
        name = name + "_gen",
        srcs = srcs,
        outs = [name + ".cc"],
        cmd = """
{
  echo '#include "%s/%s"'
  echo 'namespace radlads {'
  echo 'namespace {'
  echo 'constexpr EmbeddedFile kFiles[] = {'
  for file in $(SRCS); do
    printf '{"%%s", R"EMBED(' $$(basename $$file)
    cat $$file
    echo ')EMBED"},'
  done
  echo '};'
  echo '}'
  echo 'std::span<const EmbeddedFile> %s() { return kFiles; }'
  echo '}'
} > $@
""" % (native.package_name(), header, function),
    )
    cc_library(
        name = name,
        srcs = [name + ".cc"],
        hdrs = [header],
        **kwargs
    )
