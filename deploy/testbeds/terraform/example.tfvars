# Copy to testbed.auto.tfvars, which git leaves out.
gcp_project        = "my-project"
azure_subscription = "00000000-0000-0000-0000-000000000000"
kubernetes_version = "1.31"
operators          = ["192.0.2.1/32"]
