int x_tc;
