// SPDX-License-Identifier: MIT
// Memory-mapped registers of the simulated system: console, exit, the report of a trap, and what
// programs the flash.
//
// Writes go to the C++ test bench; every register reads as zero. The registers fill the window.
module esp_mmio (
  input  logic        clk_i,
  input  logic [63:0] handle_i,
  input  logic        write_i,
  input  logic [4:0]  offset_i,
  input  logic [31:0] wdata_i
);

  import "DPI-C" function void espalier_hw_mmio(
    input longint unsigned handle, input int unsigned offset, input int unsigned data);

  always_ff @(posedge clk_i) begin
    if (write_i) espalier_hw_mmio(handle_i, {27'b0, offset_i[4:2], 2'b00}, wdata_i);
  end

endmodule
