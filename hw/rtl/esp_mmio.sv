// SPDX-License-Identifier: MIT
// Memory-mapped registers of the simulated system: console, exit and the report of a trap.
//
// Writes go to the C++ test bench; every register reads as zero. `valid_o` says whether the offset
// names a register at all.
module esp_mmio (
  input  logic        clk_i,
  input  logic [63:0] handle_i,
  input  logic        write_i,
  input  logic [4:0]  offset_i,
  input  logic [31:0] wdata_i,
  output logic        valid_o
);

  import "DPI-C" function void espalier_hw_mmio(
    input longint unsigned handle, input int unsigned offset, input int unsigned data);

  always_comb begin
    unique case ({offset_i[4:2], 2'b00})
      esp_pkg::MmioConsole, esp_pkg::MmioExit, esp_pkg::MmioTrapCause, esp_pkg::MmioTrapEpc,
      esp_pkg::MmioTrapTval, esp_pkg::MmioTrapStop: valid_o = 1'b1;
      default:                                      valid_o = 1'b0;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (write_i) espalier_hw_mmio(handle_i, {27'b0, offset_i[4:2], 2'b00}, wdata_i);
  end

endmodule
