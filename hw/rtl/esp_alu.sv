// SPDX-License-Identifier: MIT
// Integer arithmetic and logic. Combinational.
module esp_alu (
  input  esp_pkg::alu_op_t op_i,
  input  logic [31:0]      a_i,
  input  logic [31:0]      b_i,
  output logic [31:0]      result_o
);

  always_comb begin
    unique case (op_i)
      esp_pkg::AluAdd:  result_o = a_i + b_i;
      esp_pkg::AluSub:  result_o = a_i - b_i;
      esp_pkg::AluSll:  result_o = a_i << b_i[4:0];
      esp_pkg::AluSlt:  result_o = {31'b0, $signed(a_i) < $signed(b_i)};
      esp_pkg::AluSltu: result_o = {31'b0, a_i < b_i};
      esp_pkg::AluXor:  result_o = a_i ^ b_i;
      esp_pkg::AluSrl:  result_o = a_i >> b_i[4:0];
      esp_pkg::AluSra:  result_o = $unsigned($signed(a_i) >>> b_i[4:0]);
      esp_pkg::AluOr:   result_o = a_i | b_i;
      esp_pkg::AluAnd:  result_o = a_i & b_i;
      default:          result_o = '0;
    endcase
  end

endmodule
