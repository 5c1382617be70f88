#include "espalier/import/tflite_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "diagnostics.hpp"
#include "espalier/import/metadata.hpp"
#include "espalier/import/tflite_reader.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/support/file.hpp"
#include "tflite/context.hpp"
#include "tflite/lowering.hpp"
#include "tflite/schema_generated.h"

namespace espalier {
namespace {

using tflite_detail::Origins;

constexpr std::size_t kDataAlignment = 16;
constexpr float kLargestWeight = 127;
// Scores within fewer integers would often be equal, and the first of equal ones wins.
constexpr float kFewestSteps = 64;

// A file that is changed in place: scalars and elements are overwritten, vectors of another length
// are written behind everything else and the offset that leads to them is turned there. Offsets of
// the format point forward only, and so do these.
class Patch {
 public:
  explicit Patch(std::string_view original) : words_(original.size() / 8 + 1) {
    size_ = original.size();
    std::copy(original.begin(), original.end(), data());
  }

  [[nodiscard]] const tflite::Model& model() const {
    return *tflite::GetModel(reinterpret_cast<const std::uint8_t*>(words_.data()));
  }
  [[nodiscard]] std::string bytes() const {
    return {reinterpret_cast<const char*>(words_.data()), size_};
  }
  [[nodiscard]] bool sound() const {
    constexpr std::size_t kShortest = 8;
    flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(words_.data()), size_);
    return size_ >= kShortest && tflite::VerifyModelBuffer(verifier);
  }

  template <typename T>
  void write(const void* at, T value) {
    std::memcpy(data() + position(at), &value, sizeof(T));
  }

  // The vector field `field` of a table becomes `values`; false when the table has no such field.
  template <typename T>
  bool replace(const void* table, flatbuffers::voffset_t field, const std::vector<T>& values) {
    const std::size_t base = position(table);
    const auto* at =
        reinterpret_cast<const flatbuffers::Table*>(data() + base)->GetAddressOf(field);
    if (at == nullptr) return false;
    const std::size_t offset_at = position(at);
    const std::size_t start = aligned(size_ + sizeof(flatbuffers::uoffset_t));
    const std::size_t length_at = start - sizeof(flatbuffers::uoffset_t);
    const std::size_t bytes = values.size() * sizeof(T);
    resize(start + bytes);
    const auto count = static_cast<flatbuffers::uoffset_t>(values.size());
    std::memcpy(data() + length_at, &count, sizeof(count));
    std::memcpy(data() + start, values.data(), bytes);
    const auto offset = static_cast<flatbuffers::uoffset_t>(length_at - offset_at);
    std::memcpy(data() + offset_at, &offset, sizeof(offset));
    return true;
  }

  // Likewise a text of the model, behind which the format wants a zero, also where there was none;
  // false when the model has fields that this does not know.
  bool write_text(flatbuffers::voffset_t field, const std::string& text) {
    if (!root().CheckField(field)) {
      if (!knows_root()) return false;
      add_front(kFrontBytes, field);
    }
    replace(&model(), field, std::vector<char>(text.begin(), text.end()));
    resize(size_ + 1);
    return true;
  }

  // Adds buffers behind the model's own, and returns the number of the first. Each needs its data
  // by replace(). nullopt when the model has fields that this does not know.
  std::optional<std::uint32_t> add_buffers(std::size_t count) {
    constexpr std::size_t kOffset = sizeof(flatbuffers::uoffset_t);
    constexpr std::size_t kVtable = 8;  // of the three numbers that one has, aligned
    constexpr std::size_t kTable = 2 * kOffset;
    if (!knows_root()) return std::nullopt;
    // Offsets lead forward: the new list stands in front, too.
    const std::size_t known = model().buffers()->size();
    const std::size_t vtable = kFrontBytes + kOffset * (1 + known + count);
    const std::size_t tables = vtable + kVtable;
    add_front(aligned(tables + kTable * count), tflite::Model::VT_BUFFERS);
    const auto put = [this](std::size_t at, auto value) {
      std::memcpy(data() + at, &value, sizeof(value));
    };
    const auto lead = [&put](std::size_t at, std::size_t to) {
      put(at, static_cast<flatbuffers::uoffset_t>(to - at));
    };
    const auto* own = model().buffers();
    put(kFrontBytes, static_cast<flatbuffers::uoffset_t>(known + count));
    for (std::size_t i = 0; i < known; ++i) {
      lead(kFrontBytes + kOffset * (1 + i),
           position(own->Get(static_cast<flatbuffers::uoffset_t>(i))));
    }
    put(vtable, flatbuffers::voffset_t{3 * sizeof(flatbuffers::voffset_t)});
    put(vtable + 2, flatbuffers::voffset_t{kTable});
    put(vtable + tflite::Buffer::VT_DATA, flatbuffers::voffset_t{kOffset});
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t table = tables + kTable * i;
      put(table, static_cast<flatbuffers::soffset_t>(table - vtable));
      lead(kFrontBytes + kOffset * (1 + known + i), table);
    }
    lead(position(root().GetAddressOf(tflite::Model::VT_BUFFERS)), kFrontBytes);
    return static_cast<std::uint32_t>(known);
  }

 private:
  static constexpr flatbuffers::voffset_t kRootFields = 8;  // of the format's table Model
  static constexpr std::size_t kVtableBytes = (2 + kRootFields) * sizeof(flatbuffers::voffset_t);
  static constexpr std::size_t kFrontBytes = 64;  // a multiple of the data's alignment

  static std::size_t aligned(std::size_t size) {
    return (size + kDataAlignment - 1) / kDataAlignment * kDataAlignment;
  }
  [[nodiscard]] const flatbuffers::Table& root() const {
    return reinterpret_cast<const flatbuffers::Table&>(model());
  }

  // False when the root table has fields of which add_front() could not tell what they are.
  [[nodiscard]] bool knows_root() const {
    return flatbuffers::ReadScalar<flatbuffers::voffset_t>(root().GetVTable()) <= kVtableBytes;
  }

  // A copy of the root table that has `field` stands in front of everything from here on, zeros
  // behind it up to `bytes`. Only there can it be: offsets lead forward, and those among the rest
  // hold when the rest moves as a whole.
  void add_front(std::size_t bytes, flatbuffers::voffset_t field) {
    constexpr std::size_t kVtable = 8;  // behind the root's offset and the file identifier
    constexpr std::size_t kTable = kVtable + kVtableBytes;
    constexpr std::size_t kTableBytes = (1 + kRootFields) * sizeof(flatbuffers::uoffset_t);
    static_assert(kTable % sizeof(flatbuffers::uoffset_t) == 0);
    static_assert(kTable + kTableBytes <= kFrontBytes && kFrontBytes % kDataAlignment == 0);

    std::vector<std::uint8_t> front(bytes, 0);
    const auto put = [&front](std::size_t at, auto value) {
      std::memcpy(front.data() + at, &value, sizeof(value));
    };
    put(0, static_cast<flatbuffers::uoffset_t>(kTable));
    std::copy_n(data() + sizeof(flatbuffers::uoffset_t), 4, front.data() + 4);
    put(kVtable, static_cast<flatbuffers::voffset_t>(kVtableBytes));
    put(kVtable + 2, static_cast<flatbuffers::voffset_t>(kTableBytes));
    put(kTable, static_cast<flatbuffers::soffset_t>(kTable - kVtable));
    for (flatbuffers::voffset_t i = 0; i < kRootFields; ++i) {
      const auto entry =
          static_cast<flatbuffers::voffset_t>((2 + i) * sizeof(flatbuffers::voffset_t));
      const std::size_t at = (1 + i) * sizeof(flatbuffers::uoffset_t);
      const std::uint8_t* old = root().GetAddressOf(entry);
      if (old == nullptr && entry != field) continue;
      put(kVtable + entry, static_cast<flatbuffers::voffset_t>(at));
      if (old == nullptr) continue;
      auto value = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(old);
      if (entry != tflite::Model::VT_VERSION) {
        value += static_cast<flatbuffers::uoffset_t>(position(old) + bytes - kTable - at);
      }
      put(kTable + at, value);
    }
    const std::size_t rest = size_;
    resize(bytes + rest);
    std::memmove(data() + bytes, data(), rest);
    std::copy(front.begin(), front.end(), data());
  }

  [[nodiscard]] std::uint8_t* data() { return reinterpret_cast<std::uint8_t*>(words_.data()); }
  [[nodiscard]] std::size_t position(const void* at) {
    return static_cast<std::size_t>(static_cast<const std::uint8_t*>(at) - data());
  }
  void resize(std::size_t size) {
    words_.resize(size / 8 + 1);
    size_ = size;
  }

  std::vector<std::uint64_t> words_;
  std::size_t size_ = 0;
};

class Writer {
 public:
  Writer(const ir::Graph& tuned, const ir::Graph& imported, Origins origins,
         std::string_view original)
      : tuned_(tuned), imported_(imported), origins_(std::move(origins)), patch_(original) {}

  Result<std::string> run(std::optional<LogitRange> logits) {
    ESPALIER_CHECK_OK(separate_shared());
    for (std::size_t i = 0; i < tuned_.ops.size(); ++i) {
      if (std::holds_alternative<ir::Conv2D>(tuned_.ops[i].params)) {
        ESPALIER_CHECK_OK(write_conv(i));
      }
    }
    ESPALIER_CHECK_OK(write_head(logits));
    ESPALIER_CHECK_OK(write_class_names());
    if (!patch_.sound()) {
      return Error{ErrorKind::kInternal, "the written TFLite model is not sound"};
    }
    return patch_.bytes();
  }

 private:
  [[nodiscard]] const tflite::SubGraph& subgraph() const {
    return *patch_.model().subgraphs()->Get(0);
  }
  [[nodiscard]] const tflite::Operator& op(int i) const {
    return *subgraph().operators()->Get(static_cast<flatbuffers::uoffset_t>(i));
  }
  [[nodiscard]] const tflite::Tensor& tensor(int i) const {
    return *subgraph().tensors()->Get(static_cast<flatbuffers::uoffset_t>(i));
  }
  [[nodiscard]] const tflite::Buffer& buffer(int tensor_index) const {
    return *patch_.model().buffers()->Get(tensor(tensor_index).buffer());
  }
  // Tensor of an input; -1 when it is absent.
  [[nodiscard]] int input(int op_index, flatbuffers::uoffset_t i) const {
    const auto* inputs = op(op_index).inputs();
    return i < inputs->size() ? inputs->Get(i) : -1;
  }
  Error refuse(const std::string& layer, std::string_view why) const {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: layer '{}' {}; export as ONNX instead", tuned_.name,
                             import_detail::printable(layer), why)};
  }

  [[nodiscard]] Error newer_schema(std::string_view what) const {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: is of a newer TFLite schema, which leaves no place for {}; "
                             "export as ONNX instead",
                             tuned_.name, what)};
  }

  // Zero point of weights of output o in the file.
  [[nodiscard]] int zero_of(int weights, std::size_t o) const {
    return static_cast<int>(tflite_detail::zero_point(tensor(weights).quantization(), o));
  }

  // What the reader multiplied a scale of the file by, since weights lay beyond int8.
  [[nodiscard]] double widened(int weights, std::size_t o, float own) const {
    const auto* scales = tensor(weights).quantization()->scale();
    return static_cast<double>(own) /
           scales->Get(static_cast<flatbuffers::uoffset_t>(scales->size() == 1 ? 0 : o));
  }

  [[nodiscard]] bool head_changes() const {
    const ir::Head now = file_head(tuned_.head);
    const ir::Head then = file_head(imported_.head);
    return now.classes != then.classes || now.weights != then.weights || now.bias != then.bias;
  }

  // A constant that will be written.
  struct Change {
    int tensor = -1;
    std::string layer;
    std::string_view what;
    int readers = 1;  // that it is written for
  };

  [[nodiscard]] std::vector<Change> changes() const {
    std::vector<Change> all;
    for (std::size_t i = 0; i < tuned_.ops.size(); ++i) {
      const auto* now = std::get_if<ir::Conv2D>(&tuned_.ops[i].params);
      if (now == nullptr || origins_.weights[i].offsets.empty()) continue;
      const auto& then = std::get<ir::Conv2D>(imported_.ops[i].params);
      const int at = origins_.operators[i];
      if (now->weights != then.weights)
        all.push_back({input(at, 1), tuned_.ops[i].name, "weights"});
      if (now->bias != then.bias) all.push_back({input(at, 2), tuned_.ops[i].name, "biases"});
    }
    if (origins_.head < 0 || !head_changes()) return all;
    all.push_back({input(origins_.head, 1), "head", "weights"});
    all.push_back({input(origins_.head, 2), "head", "biases"});
    const int classes = file_head(imported_.head).classes;
    if (classes == file_head(tuned_.head).classes) return all;
    std::vector<int> shapes;
    for (const int i : behind_head()) {
      const bool reshapes = code(i) == tflite::BuiltinOperator::RESHAPE;
      const int shape = reshapes ? extent_tensor(i, classes) : -1;
      if (shape >= 0) shapes.push_back(shape);
    }
    for (const int shape : shapes) {
      const auto wanted = static_cast<int>(std::count(shapes.begin(), shapes.end(), shape));
      all.push_back({shape, "head", "output's shape", wanted});
    }
    return all;
  }

  // How many operators read a tensor, each time that one does.
  [[nodiscard]] int readers(int tensor_index) const {
    int count = 0;
    for (const tflite::Operator* reader : *subgraph().operators()) {
      count += static_cast<int>(
          std::count(reader->inputs()->begin(), reader->inputs()->end(), tensor_index));
    }
    return count;
  }

  // True when another tensor has the same buffer: converters keep equal constants once.
  [[nodiscard]] bool shares_buffer(int tensor_index) const {
    int count = 0;
    for (const tflite::SubGraph* graph : *patch_.model().subgraphs()) {
      if (graph->tensors() == nullptr) continue;
      for (const tflite::Tensor* other : *graph->tensors()) {
        count += other->buffer() == tensor(tensor_index).buffer() ? 1 : 0;
      }
    }
    return count > 1;
  }

  // Where a tensor says which buffer it has; nullptr for that of number 0, which a file leaves out.
  [[nodiscard]] const std::uint8_t* buffer_field(int tensor_index) const {
    const auto& table = reinterpret_cast<const flatbuffers::Table&>(tensor(tensor_index));
    return table.GetAddressOf(tflite::Tensor::VT_BUFFER);
  }

  // What will be written gets a buffer of its own where it has none.
  Status separate_shared() {
    std::vector<int> shared;
    for (const Change& change : changes()) {
      if (change.tensor < 0) continue;
      const bool shares = shares_buffer(change.tensor);
      if (readers(change.tensor) > change.readers ||
          (shares && buffer_field(change.tensor) == nullptr)) {
        return refuse(change.layer, fmt::format("shares its {} with another layer", change.what));
      }
      if (shares && !contains(shared, change.tensor)) shared.push_back(change.tensor);
    }
    if (shared.empty()) return Ok{};
    const std::optional<std::uint32_t> first = patch_.add_buffers(shared.size());
    if (!first) return newer_schema("parameters of their own");
    for (std::size_t i = 0; i < shared.size(); ++i) {
      const auto* data = buffer(shared[i]).data();
      const std::vector<std::uint8_t> bytes(data->begin(), data->end());
      patch_.write(buffer_field(shared[i]), *first + static_cast<std::uint32_t>(i));
      replace_data(shared[i], bytes);
    }
    return Ok{};
  }

  // Element values are written only where training changed them, so that a file whose parameters
  // did not change keeps its bytes.
  Status write_conv(std::size_t i) {
    const auto& now = std::get<ir::Conv2D>(tuned_.ops[i].params);
    const auto& then = std::get<ir::Conv2D>(imported_.ops[i].params);
    const std::string& name = tuned_.ops[i].name;
    const int at = origins_.operators[i];
    if (origins_.weights[i].offsets.empty() &&
        (now.weights != then.weights || now.bias != then.bias)) {
      return refuse(name, "is a sum or product with constants in the file and has been trained");
    }
    if (now.weights != then.weights) {
      const int weights = input(at, 1);
      const import_detail::Origin& origin = origins_.weights[i];
      const std::size_t each = origin.offsets.size();
      const std::uint8_t* first = buffer(weights).data()->data();
      const int lowest = tensor(weights).type() == tflite::TensorType::UINT8 ? 0 : INT8_MIN;
      for (std::size_t w = 0; w < now.weights.size(); ++w) {
        if (now.weights[w] == then.weights[w]) continue;
        const std::size_t o = w / each;
        const double wide = widened(weights, o, then.weight_scales[o]);
        const int value =
            static_cast<int>(std::nearbyint(now.weights[w] * wide)) + zero_of(weights, o);
        if (value < lowest || value > lowest + 255) {
          return refuse(name, fmt::format("has trained weights beyond those that the zero point {} "
                                          "of the file leaves room for",
                                          zero_of(weights, o)));
        }
        patch_.write(first + o * origin.out_step + origin.offsets[w % each],
                     static_cast<std::uint8_t>(value));
      }
    }
    if (now.bias != then.bias) {
      const int bias = input(at, 2);
      if (bias < 0) return refuse(name, "has trained biases and none in the file");
      const std::uint8_t* first = buffer(bias).data()->data();
      for (std::size_t o = 0; o < now.bias.size(); ++o) {
        if (now.bias[o] == then.bias[o]) continue;
        const double units = now.bias[o] * widened(input(at, 1), o, then.weight_scales[o]);
        patch_.write(first + o * sizeof(now.bias[o]),
                     static_cast<std::int32_t>(
                         std::clamp<double>(std::nearbyint(units), INT32_MIN, INT32_MAX)));
      }
    }
    return Ok{};
  }

  // The head as the file has it: one output where a LOGISTIC makes two classes of it.
  [[nodiscard]] ir::Head file_head(const ir::Head& head) const {
    if (!origins_.split_head || head.classes != 2) return head;
    const auto features = static_cast<std::size_t>(head.features);
    ir::Head one{head.features, 1, {}, {head.bias[1] - head.bias[0]}};
    for (std::size_t i = 0; i < features; ++i) {
      one.weights.push_back(head.weights[features + i] - head.weights[i]);
    }
    return one;
  }

  Status write_head(std::optional<LogitRange> logits) {
    if (!head_changes()) return Ok{};
    const ir::Head now = file_head(tuned_.head);
    const ir::Head then = file_head(imported_.head);
    if (origins_.head < 0) return refuse("head", "is no layer of the file, which ends in pooling");
    if (origins_.split_head && now.classes != 1) {
      return refuse("head",
                    fmt::format("has {} classes, the file's LOGISTIC has two", now.classes));
    }
    const int weights = input(origins_.head, 1);
    const int bias = input(origins_.head, 2);
    if (bias < 0) return refuse("head", "has biases and none in the file");
    const std::vector<float> scales = head_scales(now, weights);
    std::vector<std::int32_t> biases;
    const double input_scale = tuned_.tensor(tuned_.features).quantization.scale;
    for (std::size_t o = 0; o < now.bias.size(); ++o) {
      const double unit = input_scale * scales[scales.size() == 1 ? 0 : o];
      biases.push_back(static_cast<std::int32_t>(
          std::clamp<double>(std::nearbyint(now.bias[o] / unit), INT32_MIN, INT32_MAX)));
    }
    ESPALIER_CHECK_OK(set_quantization(weights, scales));
    std::vector<float> bias_scales;
    for (const float scale : scales) bias_scales.push_back(static_cast<float>(input_scale * scale));
    ESPALIER_CHECK_OK(set_quantization(bias, bias_scales));
    replace_data(weights, head_bytes(now, weights, scales));
    const auto* raw = reinterpret_cast<const std::uint8_t*>(biases.data());
    replace_data(bias, std::vector<std::uint8_t>(raw, raw + biases.size() * sizeof(biases[0])));
    if (now.classes != then.classes) resize_outputs(then.classes, now.classes, weights, bias);
    return logits ? fit_logits(*logits) : Status(Ok{});
  }

  // The description is the one place for text that every reader of the format passes over.
  Status write_class_names() {
    const auto* description = patch_.model().description();
    const std::string_view now = description == nullptr ? "" : description->string_view();
    if (class_names_in_text(now, tuned_.head.classes) == tuned_.head.class_names) return Ok{};
    const std::string text = with_class_names(now, tuned_.head.class_names);
    if (!patch_.write_text(tflite::Model::VT_DESCRIPTION, text)) {
      return newer_schema("the names of classes");
    }
    return Ok{};
  }

  // One scale, or one a class, as in the file.
  [[nodiscard]] std::vector<float> head_scales(const ir::Head& head, int weights) const {
    const auto features = static_cast<std::size_t>(head.features);
    const auto* q = tensor(weights).quantization();
    const bool per_channel = q->scale()->size() > 1;
    std::vector<float> scales(per_channel ? static_cast<std::size_t>(head.classes) : 1, 0.0F);
    for (std::size_t w = 0; w < head.weights.size(); ++w) {
      float& largest = scales[per_channel ? w / features : 0];
      largest = std::max(largest, std::abs(head.weights[w]));
    }
    for (float& scale : scales) scale = scale > 0 ? scale / kLargestWeight : 1.0F;
    return scales;
  }

  // The head's weights in the file's order.
  [[nodiscard]] std::vector<std::uint8_t> head_bytes(const ir::Head& head, int weights,
                                                     const std::vector<float>& scales) const {
    const auto features = static_cast<std::size_t>(head.features);
    const import_detail::Origin& origin = origins_.head_weights;
    std::vector<std::uint8_t> bytes(head.weights.size());
    for (std::size_t w = 0; w < head.weights.size(); ++w) {
      const std::size_t o = w / features;
      const float scale = scales[scales.size() == 1 ? 0 : o];
      const int value = static_cast<int>(std::nearbyint(head.weights[w] / scale)) +
                        (tensor(weights).type() == tflite::TensorType::UINT8 ? 128 : 0);
      bytes[o * origin.out_step + origin.offsets[w % features]] = static_cast<std::uint8_t>(value);
    }
    return bytes;
  }

  void replace_data(int tensor_index, const std::vector<std::uint8_t>& bytes) {
    patch_.replace(&buffer(tensor_index), tflite::Buffer::VT_DATA, bytes);
  }

  // New scales, symmetric.
  Status set_quantization(int tensor_index, const std::vector<float>& scales) {
    const std::int64_t zero = tensor(tensor_index).type() == tflite::TensorType::UINT8 ? 128 : 0;
    return set_quantization(tensor_index, scales, zero);
  }

  // A file may leave zero points out where they are 0, and can then hold no others.
  Status set_quantization(int tensor_index, const std::vector<float>& scales, std::int64_t zero) {
    const auto* q = tensor(tensor_index).quantization();
    if (q == nullptr) return Ok{};
    patch_.replace(q, tflite::QuantizationParameters::VT_SCALE, scales);
    if (!patch_.replace(tensor(tensor_index).quantization(),
                        tflite::QuantizationParameters::VT_ZERO_POINT,
                        std::vector<std::int64_t>(scales.size(), zero)) &&
        zero != 0) {
      return refuse("head", "needs a zero point where the file has none");
    }
    return Ok{};
  }

  // Operators whose output has an extent of the classes where their first input has it.
  static bool passes_scores(tflite::BuiltinOperator code) {
    using enum tflite::BuiltinOperator;
    return keeps_integers(code) || code == DEQUANTIZE || code == LOGISTIC || code == LOG_SOFTMAX ||
           code == QUANTIZE || code == SOFTMAX;
  }
  // Those that move the integers as they are.
  static bool keeps_integers(tflite::BuiltinOperator code) {
    using enum tflite::BuiltinOperator;
    return code == EXPAND_DIMS || code == RESHAPE || code == SQUEEZE || code == TRANSPOSE;
  }
  [[nodiscard]] tflite::BuiltinOperator code(int i) const {
    return tflite_detail::operator_code(patch_.model(), op(i));
  }

  // The operators behind the head, in order, that take scores from it and pass them on.
  [[nodiscard]] std::vector<int> behind_head() const {
    std::vector<int> found;
    std::vector<int> scores{op(origins_.head).outputs()->Get(0)};
    for (int i = origins_.head + 1; i < static_cast<int>(subgraph().operators()->size()); ++i) {
      const bool passes = passes_scores(code(i)) && op(i).outputs()->size() > 0;
      if (!passes || !contains(scores, input(i, 0))) continue;
      found.push_back(i);
      scores.push_back(op(i).outputs()->Get(0));
    }
    return found;
  }

  // The extent of the classes becomes `to` in the head's parameters and in everything behind the
  // head: the first of its weights, otherwise the last one that is `from`.
  void resize_outputs(int from, int to, int weights, int bias) {
    const auto resize = [&](int t, bool first) {
      resize_list(&tensor(t), tflite::Tensor::VT_SHAPE, tensor(t).shape(), from, to, first);
      resize_list(&tensor(t), tflite::Tensor::VT_SHAPE_SIGNATURE, tensor(t).shape_signature(), from,
                  to, first);
    };
    resize(weights, true);
    resize(bias, false);
    resize(op(origins_.head).outputs()->Get(0), false);
    std::vector<int> shapes;
    for (const int i : behind_head()) {
      if (code(i) == tflite::BuiltinOperator::RESHAPE) resize_reshape(i, from, to, shapes);
      resize(op(i).outputs()->Get(0), false);
    }
  }

  static bool contains(const std::vector<int>& list, int value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  }

  // The target shape of a RESHAPE, in its options and in its constant, which others may read too.
  void resize_reshape(int i, int from, int to, std::vector<int>& done) {
    if (const auto* options = op(i).options_as_ReshapeOptions()) {
      resize_list(options, tflite::ReshapeOptions::VT_NEW_SHAPE, options->new_shape(), from, to,
                  false);
    }
    const int shape = extent_tensor(i, from);
    if (shape < 0 || contains(done, shape)) return;
    patch_.write(class_extent(shape, from), static_cast<std::int32_t>(to));
    done.push_back(shape);
  }

  // The constant that holds the extent `from` of a RESHAPE's target: the target itself, or one of
  // the scalars it is packed of where the file computes the batch; -1 where there is none.
  [[nodiscard]] int extent_tensor(int i, int from) const {
    const int shape = input(i, 1);
    if (shape < 0) return -1;
    if (class_extent(shape, from) != nullptr) return shape;
    for (int other = 0; other < i; ++other) {
      const auto* made = op(other).outputs();
      if (code(other) != tflite::BuiltinOperator::PACK || made->size() == 0 ||
          made->Get(0) != shape) {
        continue;
      }
      for (auto at = op(other).inputs()->size(); at-- > 0;) {
        const int scalar = input(other, at);
        if (scalar >= 0 && class_extent(scalar, from) != nullptr) return scalar;
      }
    }
    return -1;
  }

  // The last extent of `from` in a constant shape; nullptr where there is none.
  [[nodiscard]] const std::uint8_t* class_extent(int shape, int from) const {
    // Nothing has read this constant yet.
    if (tensor(shape).buffer() >= patch_.model().buffers()->size()) return nullptr;
    const auto* data = buffer(shape).data();
    if (data == nullptr || tensor(shape).type() != tflite::TensorType::INT32) return nullptr;
    for (std::size_t at = data->size() / sizeof(std::int32_t); at-- > 0;) {
      std::int32_t extent = 0;
      std::memcpy(&extent, data->data() + at * sizeof(extent), sizeof(extent));
      if (extent == from) return data->data() + at * sizeof(extent);
    }
    return nullptr;
  }

  void resize_list(const void* table, flatbuffers::voffset_t field,
                   const flatbuffers::Vector<std::int32_t>* list, int from, int to, bool first) {
    if (list == nullptr) return;
    std::vector<std::int32_t> values(list->begin(), list->end());
    if (first) {
      if (!values.empty()) values.front() = to;
    } else if (const auto last = std::find(values.rbegin(), values.rend(), from);
               last != values.rend()) {
      *last = to;
    }
    patch_.replace(table, field, values);
  }

  // The head's output and what holds it in the same or other integers up to the first function of
  // it; nothing of floats.
  [[nodiscard]] std::vector<int> logit_tensors() const {
    std::vector<int> found{op(origins_.head).outputs()->Get(0)};
    for (const int i : behind_head()) {
      const bool kept = keeps_integers(code(i)) || code(i) == tflite::BuiltinOperator::QUANTIZE;
      if (kept && contains(found, input(i, 0))) found.push_back(op(i).outputs()->Get(0));
    }
    std::erase_if(found, [this](int t) {
      const auto* q = tensor(t).quantization();
      const tflite::TensorType type = tensor(t).type();
      return (type != tflite::TensorType::INT8 && type != tflite::TensorType::UINT8) ||
             q == nullptr || q->scale() == nullptr || q->scale()->size() != 1;
    });
    return found;
  }

  // The least integer of a tensor's type.
  [[nodiscard]] int least(int tensor_index) const {
    return tensor(tensor_index).type() == tflite::TensorType::UINT8 ? 0 : -128;
  }

  [[nodiscard]] bool holds(int tensor_index, float lowest, float highest) const {
    const auto* q = tensor(tensor_index).quantization();
    const float scale = q->scale()->Get(0);
    const auto zero = static_cast<float>(tflite_detail::zero_point(q));
    const auto low = static_cast<float>(least(tensor_index));
    return lowest >= (low - zero) * scale && highest <= (low + 255 - zero) * scale;
  }

  // False where rounding would leave little of what is between them.
  [[nodiscard]] bool tells_apart(int tensor_index, float lowest, float highest) const {
    return highest - lowest >= kFewestSteps * tensor(tensor_index).quantization()->scale()->Get(0);
  }

  // Another scale and zero point for the logits, wherever they are, when the file's would clip
  // them or are too coarse for them.
  Status fit_logits(const LogitRange& range) {
    const bool one = origins_.split_head;
    const float lowest = std::min(one ? range.lowest_difference : range.lowest, 0.0F);
    const float highest = std::max(one ? range.highest_difference : range.highest, 0.0F);
    if (!(highest > lowest) || !std::isfinite(highest - lowest)) return Ok{};
    const std::vector<int> logits = logit_tensors();
    const auto fit = [&](int t) {
      return holds(t, lowest, highest) && tells_apart(t, lowest, highest);
    };
    if (std::all_of(logits.begin(), logits.end(), fit)) return Ok{};
    // Without a place for a zero point it is 0.
    const bool zeros = std::all_of(logits.begin(), logits.end(), [this](int t) {
      return tensor(t).quantization()->zero_point() != nullptr;
    });
    const float wide = zeros ? (highest - lowest) / 255 : std::max(-lowest / 128, highest / 127);
    for (const int t : logits) {
      const std::int64_t zero = least(t) + (zeros ? -std::lround(lowest / wide) : 128);
      ESPALIER_CHECK_OK(set_quantization(t, {wide}, zero));
    }
    return Ok{};
  }

  const ir::Graph& tuned_;
  const ir::Graph& imported_;
  Origins origins_;
  Patch patch_;
};

// True when two graphs differ in parameters alone.
bool same_structure(const ir::Graph& a, const ir::Graph& b) {
  if (a.ops.size() != b.ops.size() || a.tensors.size() != b.tensors.size() ||
      a.head.features != b.head.features) {
    return false;
  }
  for (std::size_t i = 0; i < a.ops.size(); ++i) {
    if (a.ops[i].params.index() != b.ops[i].params.index()) return false;
    const auto* x = std::get_if<ir::Conv2D>(&a.ops[i].params);
    const auto* y = std::get_if<ir::Conv2D>(&b.ops[i].params);
    if (x != nullptr &&
        (x->weights.size() != y->weights.size() || x->bias.size() != y->bias.size() ||
         x->weight_scales != y->weight_scales)) {
      return false;
    }
  }
  return true;
}

// Where the zip archive begins that a file may carry behind the model, of labels for example; its
// size where there is none.
std::size_t archive_begin(std::string_view file) {
  constexpr std::size_t kEndSize = 22;
  constexpr std::size_t kEntrySize = 46;
  const auto number = [file](std::size_t from, std::size_t bytes) {
    std::size_t value = 0;
    for (std::size_t i = bytes; i-- > 0;) {
      value = value << 8 | static_cast<unsigned char>(file[from + i]);
    }
    return value;
  };
  const std::size_t end = file.rfind("PK\x05\x06");
  if (end == std::string_view::npos || file.size() - end < kEndSize ||
      file.size() - end - kEndSize != number(end + 20, 2)) {
    return file.size();
  }
  const std::size_t size = number(end + 12, 4);
  const std::size_t stated = number(end + 16, 4);
  if (size > end || stated > end - size) return file.size();
  // Positions are stated as they were when the archive was written, by a model that was shorter.
  const std::size_t directory = end - size;
  std::size_t begin = directory;
  for (std::size_t at = directory; end - at >= kEntrySize;) {
    begin = std::min(begin, directory - stated + number(at + 42, 4));
    const std::size_t names = number(at + 28, 2) + number(at + 30, 2) + number(at + 32, 2);
    if (names > end - at - kEntrySize) break;
    at += kEntrySize + names;
  }
  return begin;
}

// The size of the model in a file, without what may stand behind it.
std::size_t model_size(std::string_view file) {
  const std::size_t begin = archive_begin(file);
  return Patch(file.substr(0, begin)).sound() ? begin : file.size();
}

}  // namespace

bool packs_files(std::string_view file) { return model_size(file) < file.size(); }

Result<std::string> export_tflite_bytes(const ir::Graph& tuned, std::string_view original,
                                        std::optional<LogitRange> logits) {
  ESPALIER_CHECK_OK(ir::verify(tuned));
  // The reader's checks, in its own words.
  ESPALIER_TRY(const ir::Graph checked, import_tflite_bytes(original, tuned.name, tuned.name));
  ir::Graph imported;
  Origins origins;
  import_detail::Diagnostics none(tuned.name);
  const Patch aligned(original);
  tflite_detail::lower(aligned.model(), imported, none, &origins);
  const ir::Graph own = ir::in_file_units(tuned);
  if (checked.sha256 != tuned.sha256 || !same_structure(own, imported)) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: is not the model that was trained; give the TFLite file that it "
                             "was imported from",
                             tuned.name)};
  }
  // Readers look for the end of an archive at that of the file.
  const std::size_t size = model_size(original);
  ESPALIER_TRY(std::string written,
               Writer(own, imported, std::move(origins), original.substr(0, size)).run(logits));
  return written += original.substr(size);
}

Status export_tflite(const ir::Graph& tuned, const std::filesystem::path& original,
                     const std::filesystem::path& path, std::optional<LogitRange> logits) {
  ESPALIER_TRY(const std::string bytes, read_file(original));
  ESPALIER_TRY(const std::string written, export_tflite_bytes(tuned, bytes, logits));
  return write_file_atomic(path, written);
}

}  // namespace espalier
