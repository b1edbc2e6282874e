# EKS without a CNI of its own.

data "aws_availability_zones" "all" {
  state = "available"
}

resource "aws_vpc" "aws" {
  cidr_block           = local.networks.aws
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

resource "aws_subnet" "aws" {
  count = 2

  vpc_id                  = aws_vpc.aws.id
  cidr_block              = cidrsubnet(local.networks.aws, 4, count.index)
  availability_zone       = data.aws_availability_zones.all.names[count.index]
  map_public_ip_on_launch = true

  tags = {
    Name                                = "${var.name}-${count.index}"
    "kubernetes.io/cluster/${var.name}" = "shared"
    "kubernetes.io/role/internal-elb"   = "1"
  }
}

resource "aws_internet_gateway" "aws" {
  vpc_id = aws_vpc.aws.id
}

resource "aws_route_table" "aws" {
  vpc_id = aws_vpc.aws.id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.aws.id
  }

  # Routes to the other clouds come by propagation from the VPN.
  propagating_vgws = [aws_vpn_gateway.hub.id]
}

resource "aws_route_table_association" "aws" {
  count = 2

  subnet_id      = aws_subnet.aws[count.index].id
  route_table_id = aws_route_table.aws.id
}

resource "aws_iam_role" "cluster" {
  name = "${var.name}-cluster"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "eks.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_iam_role" "node" {
  name = "${var.name}-node"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryReadOnly"])

  role       = aws_iam_role.node.name
  policy_arn = "arn:aws:iam::aws:policy/${each.value}"
}

resource "aws_eks_cluster" "aws" {
  name     = var.name
  version  = var.kubernetes_version
  role_arn = aws_iam_role.cluster.arn

  # Else EKS installs its own CNI.
  bootstrap_self_managed_addons = false

  vpc_config {
    subnet_ids              = aws_subnet.aws[*].id
    endpoint_private_access = true
    public_access_cidrs     = var.operators
  }

  depends_on = [aws_iam_role_policy_attachment.cluster]
}

resource "aws_eks_addon" "kube_proxy" {
  cluster_name = aws_eks_cluster.aws.name
  addon_name   = "kube-proxy"
}

# Nodes are healthy, and this done, only once the CNI is there: scripts install it between two applies.
resource "aws_eks_node_group" "aws" {
  count = var.nodes > 0 ? 1 : 0

  cluster_name    = aws_eks_cluster.aws.name
  node_group_name = "all"
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = aws_subnet.aws[*].id
  instance_types  = [var.machines.aws]
  ami_type        = "AL2023_x86_64_STANDARD"

  scaling_config {
    desired_size = var.nodes
    min_size     = var.nodes
    max_size     = var.nodes
  }

  depends_on = [aws_iam_role_policy_attachment.node]
}

resource "aws_eks_addon" "coredns" {
  count = var.nodes > 0 ? 1 : 0

  cluster_name = aws_eks_cluster.aws.name
  addon_name   = "coredns"

  depends_on = [aws_eks_node_group.aws]
}

# Nodes of the other clouds: encapsulated packets, WireGuard, load, the aggregator's port.
resource "aws_vpc_security_group_ingress_rule" "inside" {
  security_group_id = aws_eks_cluster.aws.vpc_config[0].cluster_security_group_id
  cidr_ipv4         = local.inside
  ip_protocol       = "-1"
}
