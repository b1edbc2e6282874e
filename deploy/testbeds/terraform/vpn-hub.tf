# IPsec tunnels by which nodes reach each other. AWS's gateway is the hub and passes on between the other two what it learns
# by BGP, so traffic between GCP and Azure crosses AWS: those figures are of that path, and every tunnel has a cap of about
# 1.25 Gbit/s.

resource "aws_vpn_gateway" "hub" {
  vpc_id          = aws_vpc.aws.id
  amazon_side_asn = local.asn.aws

  tags = { Name = var.name }
}
