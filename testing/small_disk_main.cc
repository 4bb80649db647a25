#include <gtest/gtest.h>

#include "testing/small_disk.h"

int main(int argc, char** argv) {
  radlads::AllowSmallDisks();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
