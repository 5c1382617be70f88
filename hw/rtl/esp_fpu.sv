// SPDX-License-Identifier: MIT
// The float unit: single-cycle operations, the pipelined multiply-add, and division and square root
// that borrow its rounding stage.
//
// Issue with `valid_i` in the execute stage, held until `ready_o`. Operations with `late_o` write
// their register through the late port: multiply-adds two cycles after issue, division and square
// root one cycle after `ready_o`. The others deliver `result_o` in the cycle of issue. Nothing here
// evaluates for an instruction that is not a float operation.
module esp_fpu (
  input  logic             clk_i,
  input  logic             srst_ni,

  input  logic             valid_i,
  input  esp_pkg::fpu_op_e op_i,
  input  logic [2:0]       funct_i,
  input  logic             unsigned_i,
  input  esp_pkg::rm_t     rm_i,
  input  logic [4:0]       rd_i,
  input  logic [31:0]      a_i,
  input  logic [31:0]      b_i,
  input  logic [31:0]      c_i,
  input  logic [31:0]      int_i,
  output logic             ready_o,
  output logic             late_o,
  output logic [31:0]      result_o,
  output esp_pkg::fflags_t flags_o,

  // Destinations under way, for the hazard check.
  output logic             add_valid_o,
  output logic [4:0]       add_rd_o,
  output logic             round_valid_o,
  output logic [4:0]       round_rd_o,
  // Late results; valid with `round_valid_o`.
  output logic [31:0]      late_result_o,
  output esp_pkg::fflags_t late_flags_o
);

  logic is_fma;
  logic is_divsqrt;
  logic is_misc;

  always_comb begin
    is_fma = 1'b0;
    is_divsqrt = 1'b0;
    is_misc = 1'b0;
    if (valid_i) begin
      unique case (op_i)
        esp_pkg::FpuMadd, esp_pkg::FpuMsub, esp_pkg::FpuNmsub, esp_pkg::FpuNmadd,
        esp_pkg::FpuAdd, esp_pkg::FpuSub, esp_pkg::FpuMul: is_fma = 1'b1;
        esp_pkg::FpuDiv, esp_pkg::FpuSqrt:                 is_divsqrt = 1'b1;
        default:                                           is_misc = 1'b1;
      endcase
    end
  end

  esp_fpu_misc u_misc (
    .valid_i(is_misc),
    .op_i,
    .funct_i,
    .unsigned_i,
    .rm_i,
    .a_i,
    .b_i,
    .int_i,
    .result_o,
    .flags_o
  );

  logic             add_valid;
  logic [4:0]       add_rd;
  esp_pkg::rm_t     add_rm;
  logic             add_special;
  logic             add_invalid;
  logic [31:0]      add_special_result;
  logic             add_sign;
  logic [9:0]       add_exponent;
  logic [63:0]      add_sum;

  esp_fpu_fma u_fma (
    .clk_i,
    .srst_ni,
    .start_i(is_fma),
    .op_i,
    .rm_i,
    .rd_i,
    .a_i,
    .b_i,
    .c_i,
    .valid_o(add_valid),
    .rd_o(add_rd),
    .rm_o(add_rm),
    .special_o(add_special),
    .invalid_o(add_invalid),
    .special_result_o(add_special_result),
    .sign_o(add_sign),
    .exponent_o(add_exponent),
    .sum_o(add_sum)
  );

  logic             div_done;
  logic             div_taken;
  logic             div_special;
  esp_pkg::fflags_t div_special_flags;
  logic [31:0]      div_special_result;
  logic             div_sign;
  logic [9:0]       div_exponent;
  logic [63:0]      div_sum;

  esp_fpu_divsqrt u_divsqrt (
    .clk_i,
    .srst_ni,
    .valid_i(is_divsqrt),
    .sqrt_i(op_i == esp_pkg::FpuSqrt),
    .a_i,
    .b_i,
    .taken_i(div_taken),
    .done_o(div_done),
    .special_o(div_special),
    .special_flags_o(div_special_flags),
    .special_result_o(div_special_result),
    .sign_o(div_sign),
    .exponent_o(div_exponent),
    .sum_o(div_sum)
  );

  // The multiply-add ahead of a division has the rounding stage first.
  assign div_taken = is_divsqrt & div_done & ~add_valid;
  assign ready_o = ~is_divsqrt | div_taken;
  assign late_o = is_fma | is_divsqrt;

  logic             round_valid_q;
  logic [4:0]       round_rd_q;
  esp_pkg::rm_t     round_rm_q;
  logic             round_special_q;
  esp_pkg::fflags_t round_special_flags_q;
  logic [31:0]      round_special_result_q;
  logic             round_sign_q;
  logic [9:0]       round_exponent_q;
  logic [63:0]      round_sum_q;

  always_ff @(posedge clk_i) begin
    if (!srst_ni) begin
      round_valid_q <= 1'b0;
      round_rd_q <= '0;
      round_rm_q <= esp_pkg::RmRne;
      round_special_q <= 1'b0;
      round_special_flags_q <= '0;
      round_special_result_q <= '0;
      round_sign_q <= 1'b0;
      round_exponent_q <= '0;
      round_sum_q <= '0;
    end else begin
      round_valid_q <= add_valid | div_taken;
      if (add_valid) begin
        round_rd_q <= add_rd;
        round_rm_q <= add_rm;
        round_special_q <= add_special;
        round_special_flags_q <= {add_invalid, 4'b0};
        round_special_result_q <= add_special_result;
        round_sign_q <= add_sign;
        round_exponent_q <= add_exponent;
        round_sum_q <= add_sum;
      end else if (div_taken) begin
        round_rd_q <= rd_i;
        round_rm_q <= rm_i;
        round_special_q <= div_special;
        round_special_flags_q <= div_special_flags;
        round_special_result_q <= div_special_result;
        round_sign_q <= div_sign;
        round_exponent_q <= div_exponent;
        round_sum_q <= div_sum;
      end
    end
  end

  esp_fpu_round u_round (
    .valid_i(round_valid_q),
    .rm_i(round_rm_q),
    .special_i(round_special_q),
    .special_flags_i(round_special_flags_q),
    .special_result_i(round_special_result_q),
    .sign_i(round_sign_q),
    .exponent_i(round_exponent_q),
    .sum_i(round_sum_q),
    .result_o(late_result_o),
    .flags_o(late_flags_o)
  );

`ifdef ESP_ASSERT
  // The rounding stage takes one result a cycle, and only late operations write through it.
  always_ff @(posedge clk_i) begin
    if (srst_ni) begin
      OneResultToRound: assert (!(add_valid && div_taken));
      MiscInTime: assert (!(is_misc && (late_o || !ready_o)));
    end
  end
`endif

  assign add_valid_o = add_valid;
  assign add_rd_o = add_rd;
  assign round_valid_o = round_valid_q;
  assign round_rd_o = round_rd_q;

endmodule
