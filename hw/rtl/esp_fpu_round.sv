// SPDX-License-Identifier: MIT
// Normalises, rounds and packs a result. Combinational; tininess is detected after rounding.
//
// `sum_i` is below 2^62 and its bit 59 weighs 2^(exponent_i - 127); bit 0 may be a sticky bit.
module esp_fpu_round (
  input  logic             valid_i,
  input  esp_pkg::rm_t     rm_i,
  input  logic             special_i,
  input  esp_pkg::fflags_t special_flags_i,
  input  logic [31:0]      special_result_i,
  input  logic             sign_i,
  input  logic [9:0]       exponent_i,
  input  logic [63:0]      sum_i,
  output logic [31:0]      result_o,
  output esp_pkg::fflags_t flags_o
);

  always_comb begin
    // Temporaries of the gated block; they have defaults so that none becomes a latch.
    logic [5:0]  zeros;
    logic [9:0]  normal_exponent;
    logic [63:0] norm;
    logic        tiny;
    logic        up;
    logic        inexact;
    logic [23:0] kept;
    logic [8:0]  biased;
    logic [31:0] rounded;
    logic [9:0]  left;
    logic        to_inf;
    logic        reaches_normal;
    zeros = '0;
    normal_exponent = '0;
    norm = '0;
    tiny = '0;
    up = '0;
    inexact = '0;
    kept = '0;
    biased = '0;
    rounded = '0;
    left = '0;
    to_inf = '0;
    reaches_normal = '0;
    result_o = '0;
    flags_o = '0;
    if (valid_i) begin
      if (special_i) begin
        result_o = special_result_i;
        flags_o = special_flags_i;
      end else if (sum_i == '0) begin
        result_o = {sign_i, 31'b0};
      end else begin
        // The leading one goes to bit 62 and then weighs 2^(normal_exponent - 127).
        zeros = esp_pkg::leading_zeros64(sum_i);
        normal_exponent = exponent_i + 10'd4 - {4'b0, zeros};
        tiny = $signed(normal_exponent) < 10'sd1;
        if (!tiny) begin
          norm = sum_i << (zeros - 6'd1);
          biased = normal_exponent[8:0];
        end else begin
          // Bit 62 is to weigh what the hidden bit of a subnormal would: exponent 1.
          left = exponent_i + 10'd2;
          norm = left[9] ? esp_pkg::shift_right_sticky(sum_i, -left) : sum_i << left[5:0];
          biased = '0;
        end

        kept = norm[62:39];
        inexact = norm[38:0] != '0;
        up = esp_pkg::round_up(rm_i, sign_i, norm[39], norm[38], norm[37:0] != '0);
        // The hidden bit adds one to the exponent field, and so does a carry out of the fraction.
        rounded = {(tiny ? biased : biased - 9'd1), 23'b0} + {8'b0, kept} + {31'b0, up};

        result_o = {sign_i, rounded[30:0]};
        flags_o.nx = inexact;
        if (rounded[31:23] >= 9'd255) begin
          to_inf = rm_i == esp_pkg::RmRne || rm_i == esp_pkg::RmRmm ||
                   (rm_i == esp_pkg::RmRup && !sign_i) || (rm_i == esp_pkg::RmRdn && sign_i);
          result_o = {sign_i, to_inf ? 31'h7F80_0000 : 31'h7F7F_FFFF};
          flags_o.of = 1'b1;
          flags_o.nx = 1'b1;
        end else if (tiny && inexact) begin
          // Just below the smallest normal number, rounding to 24 bits may still reach it.
          reaches_normal = normal_exponent == '0 && norm[61:38] == '1 &&
                           esp_pkg::round_up(rm_i, sign_i, 1'b1, norm[37], norm[36:0] != '0);
          flags_o.uf = ~reaches_normal;
        end
      end
    end
  end

endmodule
