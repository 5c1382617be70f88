// SPDX-License-Identifier: MIT
// The memories of the simulated system: an instruction port and a data port, both synchronous.
//
// The words live in the C++ test bench, so that sizes are chosen at run time and a small system
// starts quickly. `*_region_i` is 0 for flash and 1 for SRAM; offsets are in bytes from the start
// of the region and already known to lie inside. Output data hold while there is no request.
module esp_memory (
  input  logic        clk_i,
  input  logic [63:0] handle_i,

  input  logic        instr_req_i,
  input  logic        instr_region_i,
  input  logic [31:0] instr_offset_i,
  output logic [31:0] instr_rdata_o,

  input  logic        data_req_i,
  input  logic        data_we_i,
  input  logic [3:0]  data_be_i,
  input  logic        data_region_i,
  input  logic [31:0] data_offset_i,
  input  logic [31:0] data_wdata_i,
  output logic [31:0] data_rdata_o
);

  import "DPI-C" function int unsigned espalier_hw_read(
    input longint unsigned handle, input bit region, input int unsigned offset);
  import "DPI-C" function void espalier_hw_write(
    input longint unsigned handle, input int unsigned offset, input int unsigned data,
    input int unsigned be);

  logic [31:0] instr_rdata_q;
  logic [31:0] data_rdata_q;

  always_ff @(posedge clk_i) begin
    if (instr_req_i) begin
      instr_rdata_q <= espalier_hw_read(handle_i, instr_region_i, instr_offset_i);
    end
  end

  always_ff @(posedge clk_i) begin
    if (data_req_i) begin
      if (data_we_i) begin
        espalier_hw_write(handle_i, data_offset_i, data_wdata_i, {28'b0, data_be_i});
      end else begin
        data_rdata_q <= espalier_hw_read(handle_i, data_region_i, data_offset_i);
      end
    end
  end

`ifdef ESP_ASSERT
  // The C++ side indexes words with these and asks nothing.
  always_ff @(posedge clk_i) begin
    if (instr_req_i) InstrAligned: assert (instr_offset_i[1:0] == 2'b00);
    if (data_req_i && data_we_i) StoreToSram: assert (data_region_i && data_be_i != 4'b0);
  end
`endif

  assign instr_rdata_o = instr_rdata_q;
  assign data_rdata_o = data_rdata_q;

endmodule
