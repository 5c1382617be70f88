// What types of columns are called in documents.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "espalier/report/report.hpp"

namespace espalier::report {

inline constexpr std::array kColumnTypes{
    std::pair<ColumnType, std::string_view>{ColumnType::kText, "text"},
    std::pair<ColumnType, std::string_view>{ColumnType::kInteger, "integer"},
    std::pair<ColumnType, std::string_view>{ColumnType::kNumber, "number"},
    std::pair<ColumnType, std::string_view>{ColumnType::kFlag, "flag"}};

}  // namespace espalier::report
