// SPDX-License-Identifier: MIT
// Instruction fetch stage: program counter and the register in front of execute.
//
// The memory is synchronous: the address that it takes in one cycle yields data and error in the
// next, and both hold until it takes another. A redirect reaches the memory in its own cycle, so a
// taken branch costs one empty cycle and whatever the memory waits. While the memory is not ready,
// `if_pc_q` is the address to be asked for.
module esp_fetch (
  input  logic        clk_i,
  input  logic        srst_ni,
  input  logic [31:0] boot_addr_i,

  output logic        instr_req_o,
  input  logic        instr_ready_i,
  output logic [31:0] instr_addr_o,
  input  logic [31:0] instr_rdata_i,
  input  logic        instr_err_i,

  input  logic        redirect_i,
  input  logic [31:0] target_i,
  input  logic        id_ready_i,

  output logic        id_valid_o,
  output logic [31:0] id_pc_o,
  output logic [31:0] id_instr_o,
  output logic        id_err_o
);

  logic        if_valid_q;
  logic [31:0] if_pc_q;
  logic        id_valid_q;
  logic [31:0] id_pc_q;
  logic [31:0] id_instr_q;
  logic        id_err_q;

  assign instr_req_o = redirect_i | id_ready_i | ~if_valid_q;
  always_comb begin
    instr_addr_o = if_valid_q ? if_pc_q + 32'd4 : if_pc_q;
    if (redirect_i) instr_addr_o = target_i;
  end

  always_ff @(posedge clk_i) begin
    if (!srst_ni) begin
      if_valid_q <= 1'b0;
      if_pc_q <= boot_addr_i;
      id_valid_q <= 1'b0;
      id_pc_q <= '0;
      id_instr_q <= '0;
      id_err_q <= 1'b0;
    end else begin
      if (instr_req_o) begin
        if_valid_q <= instr_ready_i;
        if_pc_q <= instr_addr_o;
      end
      if (id_ready_i) begin
        id_valid_q <= if_valid_q & ~redirect_i;
        id_pc_q <= if_pc_q;
        id_instr_q <= instr_rdata_i;
        id_err_q <= instr_err_i;
      end
    end
  end

`ifdef ESP_ASSERT
  // Misaligned targets trap in execute and never come here.
  always_ff @(posedge clk_i) AddressAligned: assert (!srst_ni || instr_addr_o[1:0] == 2'b00);
  // What redirects leaves execute, and the instruction behind it is dropped.
  always_ff @(posedge clk_i) RedirectLeaves: assert (!(srst_ni && redirect_i && !id_ready_i));
`endif

  assign id_valid_o = id_valid_q;
  assign id_pc_o = id_pc_q;
  assign id_instr_o = id_instr_q;
  assign id_err_o = id_err_q;

endmodule
