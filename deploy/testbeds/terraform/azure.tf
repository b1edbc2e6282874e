# AKS without a CNI ("bring your own").

resource "azurerm_resource_group" "azure" {
  name     = var.name
  location = var.azure_region
}

resource "azurerm_virtual_network" "azure" {
  name                = var.name
  location            = azurerm_resource_group.azure.location
  resource_group_name = azurerm_resource_group.azure.name
  address_space       = [local.networks.azure]
}

resource "azurerm_subnet" "nodes" {
  name                 = "nodes"
  resource_group_name  = azurerm_resource_group.azure.name
  virtual_network_name = azurerm_virtual_network.azure.name
  address_prefixes     = [cidrsubnet(local.networks.azure, 4, 0)]
}

resource "azurerm_kubernetes_cluster" "azure" {
  name                = var.name
  location            = azurerm_resource_group.azure.location
  resource_group_name = azurerm_resource_group.azure.name
  dns_prefix          = var.name
  kubernetes_version  = var.kubernetes_version

  default_node_pool {
    name           = "all"
    vm_size        = var.machines.azure
    node_count     = max(var.nodes, 1)
    vnet_subnet_id = azurerm_subnet.nodes.id
  }

  identity {
    type = "SystemAssigned"
  }

  network_profile {
    network_plugin = "none"
    service_cidr   = "10.123.0.0/16"
    dns_service_ip = "10.123.0.10"
  }

  api_server_access_profile {
    authorized_ip_ranges = var.operators
  }
}

# Internal load balancers need addresses of the subnet.
resource "azurerm_role_assignment" "subnet" {
  scope                = azurerm_subnet.nodes.id
  role_definition_name = "Network Contributor"
  principal_id         = azurerm_kubernetes_cluster.azure.identity[0].principal_id
}
