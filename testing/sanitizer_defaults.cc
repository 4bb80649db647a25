// Libraries that were not built with the sanitizer: what they do inside cannot be judged.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "called_from_lib:libgrpc.so\ncalled_from_lib:libgrpc++.so\ncalled_from_lib:libgpr.so\n"
         "called_from_lib:libprotobuf.so\ncalled_from_lib:libupb.so\ncalled_from_lib:librocksdb.so\n"
         "called_from_lib:libtorch_cpu.so\ncalled_from_lib:libgomp.so\n"
         "race:libgrpc.so\nrace:libgrpc++.so\nrace:libgpr.so\nrace:libupb.so\nrace:libprotobuf.so\nrace:libabsl_\n"
         "race:librocksdb.so\nrace:libtorch_cpu.so\nrace:libc10.so\nrace:libgomp.so\nrace:libcpp-httplib.so\n"
         "race:^grpc::\ndeadlock:libgrpc.so\nthread:libgomp.so\nmutex:libgrpc.so\n";
}
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "ignore_noninstrumented_modules=1:second_deadlock_stack=1"; }
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libtorch_cpu.so\nleak:libgrpc.so\nleak:libgomp.so\nleak:libcares.so\n"; }
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "detect_leaks=1:strict_string_checks=1"; }
