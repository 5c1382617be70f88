#include "espalier/search/remember.hpp"

#include <memory>
#include <utility>

#include "candidate_map.hpp"

namespace espalier::search {

CostFunction remembered(CostFunction cost) {
  return [cost = std::move(cost),
          known = std::make_shared<CandidateMap<std::int64_t>>()](const Candidate& candidate) {
    return known->get(candidate, [&] { return cost(candidate); });
  };
}

}  // namespace espalier::search
