// SPDX-License-Identifier: MIT
// Places store data on byte lanes, finds misaligned accesses, extends load data. Combinational.
module esp_lsu (
  // Execute stage.
  input  logic [1:0]  size_i,
  input  logic [1:0]  offset_i,
  input  logic [31:0] wdata_i,
  output logic        misaligned_o,
  output logic [3:0]  be_o,
  output logic [31:0] wdata_o,
  // Write-back stage: funct3 and address of the load that memory now answers. The word of a load
  // fused with the dot product does not come this way.
  input  logic [2:0]  load_funct_i,
  input  logic [1:0]  load_offset_i,
  input  logic [31:0] load_raw_i,
  output logic [31:0] load_data_o
);

  always_comb begin
    unique case (size_i)
      2'd0: begin
        misaligned_o = 1'b0;
        be_o = 4'b0001 << offset_i;
        wdata_o = {4{wdata_i[7:0]}};
      end
      2'd1: begin
        misaligned_o = offset_i[0];
        be_o = offset_i[1] ? 4'b1100 : 4'b0011;
        wdata_o = {2{wdata_i[15:0]}};
      end
      default: begin
        misaligned_o = offset_i != 2'd0;
        be_o = 4'b1111;
        wdata_o = wdata_i;
      end
    endcase
  end

  logic [31:0] shifted;
  assign shifted = load_raw_i >> {load_offset_i, 3'b000};

  always_comb begin
    unique case (load_funct_i)
      3'd0:    load_data_o = {{24{shifted[7]}}, shifted[7:0]};
      3'd1:    load_data_o = {{16{shifted[15]}}, shifted[15:0]};
      3'd4:    load_data_o = {24'b0, shifted[7:0]};
      3'd5:    load_data_o = {16'b0, shifted[15:0]};
      default: load_data_o = load_raw_i;
    endcase
  end

endmodule
