// Classes are known by their names: sets are matched by name, never by the place in a list.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/data/dataset.hpp"
#include "espalier/support/result.hpp"

namespace espalier::data {

using ClassNames = std::vector<std::string>;

/// The names of classes that have none: their numbers, 0 to count - 1.
ClassNames class_numbers(int count);
/// True when they are that, and so may stand for any names; numbers that were chosen may not.
bool counts_up(const ClassNames& names);

/// True when every name is a decimal number: the set came without names, as idx sets do.
bool numbered(const ClassNames& names);

/// The numbers that the names are, when they are different ones below `count`.
std::optional<std::vector<int>> numbers_below(const ClassNames& names, int count);

/// Names that are the numbers 0 to count - 1 in the order of these, others as they are: folders are
/// listed as 0, 1, 10, 2.
ClassNames in_number_order(ClassNames names);

/// For people: `3 classes: ant, cat, dog`, at most 20 of them.
std::string class_list(const ClassNames& names);

/// How the classes of one set are those of another.
struct ClassMatch {
  std::vector<int> order;    ///< [i]: the position in `found` of wanted[i]
  bool by_position = false;  ///< one side has numbers alone, so that nothing else can be compared
};

/// Finds the classes of `found` in `wanted`: by name, or by position where one side is numbered and
/// both have as many. kBadInput, with both lists, when they are not the same classes. `wanted_by`
/// and `found_in` say whose they are, such as `plan.json` and `the data`.
Result<ClassMatch> match_classes(const ClassNames& wanted, std::string_view wanted_by,
                                 const ClassNames& found, std::string_view found_in);

/// The dataset with its classes in the order of `names`, which `match` found in it; labels follow.
/// Numbers in the place of names become `names`.
Dataset order_classes(Dataset dataset, const ClassNames& names, const ClassMatch& match);

/// The classes of these names, or, where one is none and all are numbers, of these numbers. kUsage
/// for what is neither.
Result<std::vector<int>> find_classes(const ClassNames& wanted, const Dataset& dataset);

/// [class]: its records.
std::vector<std::int64_t> samples_by_class(const Dataset& dataset);

/// kBadInput for more than 1,024 classes most of which have no record: what is trained and counted
/// for each class, and for each pair of them, would be of nothing. Fewer may be those of a model.
Status check_labels(const Dataset& dataset);

/// Reads `--classes`: items separated by commas, each the name of a class, its number, or a range
/// of numbers such as 2-4. A name that is also a number is a name, where all names are numbers with
/// or without the zeros it begins with; where both ends of a range are such names, it is of names,
/// of which none may be missing. kUsage for what is neither.
Result<std::vector<int>> parse_classes(std::string_view text, const Dataset& dataset);

}  // namespace espalier::data
