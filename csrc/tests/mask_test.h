// Random masks against the generator written plainly.

#pragma once

namespace recur {
namespace tests {

// Tries masks in sizes around those of a group and of a part.
void masks();

}  // namespace tests
}  // namespace recur
