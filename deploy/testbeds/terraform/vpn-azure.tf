# The hub's tunnels to Azure, whose gateway takes half an hour to make.

resource "azurerm_subnet" "gateway" {
  # Azure wants this name.
  name                 = "GatewaySubnet"
  resource_group_name  = azurerm_resource_group.azure.name
  virtual_network_name = azurerm_virtual_network.azure.name
  address_prefixes     = [cidrsubnet(local.networks.azure, 8, 255)]
}

resource "azurerm_public_ip" "gateway" {
  name                = "${var.name}-gateway"
  location            = azurerm_resource_group.azure.location
  resource_group_name = azurerm_resource_group.azure.name
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = ["1", "2", "3"]
}

locals {
  # Azure speaks BGP inside tunnels only at addresses of 169.254.21.0/24 and 169.254.22.0/24. AWS takes the first of a /30.
  azure_tunnels = [
    {
      range   = "169.254.21.0/30"
      outside = aws_vpn_connection.azure.tunnel1_address
      secret  = aws_vpn_connection.azure.tunnel1_preshared_key
    },
    {
      range   = "169.254.22.0/30"
      outside = aws_vpn_connection.azure.tunnel2_address
      secret  = aws_vpn_connection.azure.tunnel2_preshared_key
    },
  ]
}

resource "azurerm_virtual_network_gateway" "azure" {
  name                = var.name
  location            = azurerm_resource_group.azure.location
  resource_group_name = azurerm_resource_group.azure.name
  type                = "Vpn"
  vpn_type            = "RouteBased"
  sku                 = "VpnGw1AZ"
  enable_bgp          = true

  ip_configuration {
    name                 = "gateway"
    subnet_id            = azurerm_subnet.gateway.id
    public_ip_address_id = azurerm_public_ip.gateway.id
  }

  bgp_settings {
    asn = local.asn.azure

    peering_addresses {
      ip_configuration_name = "gateway"
      apipa_addresses       = ["169.254.21.2", "169.254.22.2"]
    }
  }
}

resource "aws_customer_gateway" "azure" {
  bgp_asn    = local.asn.azure
  ip_address = azurerm_public_ip.gateway.ip_address
  type       = "ipsec.1"
}

resource "aws_vpn_connection" "azure" {
  vpn_gateway_id      = aws_vpn_gateway.hub.id
  customer_gateway_id = aws_customer_gateway.azure.id
  type                = "ipsec.1"
  tunnel1_inside_cidr = "169.254.21.0/30"
  tunnel2_inside_cidr = "169.254.22.0/30"
}

resource "azurerm_local_network_gateway" "hub" {
  count = 2

  name                = "${var.name}-hub-${count.index}"
  location            = azurerm_resource_group.azure.location
  resource_group_name = azurerm_resource_group.azure.name
  gateway_address     = local.azure_tunnels[count.index].outside

  bgp_settings {
    asn                 = local.asn.aws
    bgp_peering_address = cidrhost(local.azure_tunnels[count.index].range, 1)
  }
}

resource "azurerm_virtual_network_gateway_connection" "hub" {
  count = 2

  name                       = "${var.name}-hub-${count.index}"
  location                   = azurerm_resource_group.azure.location
  resource_group_name        = azurerm_resource_group.azure.name
  type                       = "IPsec"
  virtual_network_gateway_id = azurerm_virtual_network_gateway.azure.id
  local_network_gateway_id   = azurerm_local_network_gateway.hub[count.index].id
  shared_key                 = local.azure_tunnels[count.index].secret
  enable_bgp                 = true

  custom_bgp_addresses {
    primary = cidrhost(local.azure_tunnels[count.index].range, 2)
  }
}
